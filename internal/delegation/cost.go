package delegation

import (
	"fmt"
	"slices"
	"strconv"

	"drover/internal/spn"
)

// constrainedCost: most is the longest list after the plan, all the sum.
func constrainedCost(services []string, samba bool, hosts, most, all int) Cost {
	each := 2 * len(spn.Stored(samba, services...)) // short and full; classes have blanks, hosts none
	reach := MaxValues / each
	text := fmt.Sprintf("constrained delegation of %d hosts: %s values on one account at most, %s in the directory; an account holds about %s, which is reached at %d hosts",
		hosts, number(most), number(all), number(MaxValues), reach)
	if plain := 2 * len(services); samba && each > plain {
		text += fmt.Sprintf(" (on Windows at %d; Samba needs names with blanks twice)", MaxValues/plain)
	}
	return Cost{ValuesPerHost: most, Limit: MaxValues, Values: all, Text: text}
}

// resourceCost: after is how many trustees each host has.
func resourceCost(samba bool, hosts int, after []int) Cost {
	c := Cost{ValuesPerHost: slices.Max(after), Limit: MaxTrustees, Values: sum(after)}
	c.Text = fmt.Sprintf("resource-based delegation of %d hosts: %s entries in one account's security descriptor at most, %s in the directory; a descriptor holds about %s; %s",
		hosts, number(c.ValuesPerHost), number(c.Values), number(c.Limit), needs(samba))
	return c
}

// groupCost counts the members as values.
func groupCost(samba bool, members int, after []int) Cost {
	c := Cost{ValuesPerHost: slices.Max(after), Limit: MaxTrustees, Values: sum(after) + members}
	c.Text = fmt.Sprintf("one group of %s members, named by %s entries in security descriptors, at most %s on one account; a host's membership counts from its next ticket-granting ticket on; %s",
		number(members), number(sum(after)), number(c.ValuesPerHost), needs(samba))
	return c
}

func needs(samba bool) string {
	if samba {
		return "controllers need Samba 4.19 or newer, which the directory does not tell, and take descriptors only on the controller itself (--ldapi)"
	}
	return "controllers need Windows Server 2012 or newer"
}

func sum(counts []int) int {
	all := 0
	for _, n := range counts {
		all += n
	}
	return all
}

// number writes thousands apart.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
