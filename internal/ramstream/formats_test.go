package ramstream

import (
	"strings"
	"testing"
)

// Things that no capture has.
func TestFormats(t *testing.T) {
	device := strings.Repeat("state of a device ~\x02\x00\x00\x00 ", 999)
	ram := func(s *stream) *stream { return s.ram(1<<30).part(sectionPart, 2).page(0, "pc.ram").page(pageSize, "") }
	tests := map[string]struct {
		stream []byte
		pages  int
	}{
		"pages of 4 KiB are said": {ram(newStream().bytes(sectionSub).name("configuration/target-page-bits").u32(1).u32(12)).b, 2},
		"pages of 16 KiB":         {ram(newStream().bytes(sectionSub).name("configuration/target-page-bits").u32(1).u32(14)).b, 0},
		"unknown part of the configuration": {
			ram(newStream().bytes(sectionSub).name("configuration/other").u32(1).text(device)).b, 2},
		"no configuration and no footers": {
			new(stream).u32(fileMagic).u32(fileVersion).begin(sectionStart, 2, "ram", 4).u64(entryEOS).
				part(sectionPart, 2).page(0, "pc.ram").u64(entryEOS).part(sectionEnd, 2).page(0, "pc.ram").b, 2},
		"sizes of pages in the table of blocks": {
			newStream().begin(sectionStart, 2, "ram", 4).u64(3<<21|entryMemSize).
				name("a").u64(1<<21).u64(2<<20).name("b").u64(2<<21).u64(2<<20).u64(entryFlush).u64(entryEOS).footer(2).
				part(sectionPart, 2).page(0, "a").b, 1},
		"a device before memory": {ram(newStream().begin(sectionFull, 1, "virtio-mem", 1).text(device).footer(1)).b, 2},
		"a device between rounds": {
			ram(newStream()).u64(entryEOS).footer(2).part(sectionPart, 3).text(device).footer(3).
				part(sectionPart, 2).page(0, "pc.ram").u64(entryEOS).footer(2).part(sectionEnd, 3).text(device).footer(3).
				part(sectionEnd, 2).page(0, "pc.ram").b, 4},
		"devices after memory": {
			ram(newStream()).u64(entryEOS).footer(2).part(sectionEnd, 2).page(0, "pc.ram").u64(entryEOS).footer(2).
				begin(sectionFull, 4, "cpu", 1).text(device).footer(4).part(sectionPart, 2).page(0, "pc.ram").b, 3},
		"postcopy": {
			ram(newStream().bytes(sectionCommand).u16(3).u16(16).text(device[:16])).u64(entryEOS).footer(2).
				bytes(sectionCommand).u16(commandPackaged).u16(4).u32(uint32(len(device))).text(device).
				part(sectionPart, 2).page(0, "pc.ram").u64(entryEOS).footer(2).bytes(sectionEOF).b, 3},
		"an entry that is not known": {
			ram(newStream()).u64(0x400).text(device).footer(2).part(sectionPart, 2).page(0, "pc.ram").b, 3},
		"another version of memory's section": {newStream().begin(sectionStart, 2, "ram", 5).page(0, "pc.ram").b, 0},
		"a table of blocks that is too long": {
			newStream().begin(sectionStart, 2, "ram", 4).u64(pageSize|entryMemSize).name("a").u64(1<<40).page(0, "a").b, 0},
		"another version of the stream": {append(new(stream).u32(fileMagic).u32(4).b, rawPages(2)[8:]...), 0},
		"something else":                {append([]byte("HTTP/1.1"), rawPages(2)...), 0},
		"multifd":                       {channel().packet(0, 128, 2, 2*pageSize).text(strings.Repeat("x", 2*pageSize)).b, 2},
		"multifd, only to synchronise": {
			channel().packet(1, 0, 0, 0).packet(1, 128, 0, pageSize).packet(0, 128, 1, pageSize).text(strings.Repeat("x", pageSize)).b, 1},
		"multifd, compressed": {
			channel().packet(4, 128, 100, 30).text(strings.Repeat("x", 30)).packet(0, 128, 1, pageSize).text(strings.Repeat("x", pageSize)).b, 1},
		"multifd, state of a device": {
			channel().u32(multifdMagic).u32(multifdVersion).u32(packetDevice).text(strings.Repeat("d", 256)).u32(0).u32(99).
				text(strings.Repeat("d", 99)).packet(0, 128, 1, pageSize).text(strings.Repeat("x", pageSize)).b, 1},
		"multifd, pages of 16 KiB":     {channel().packet(0, 32, 1, 4*pageSize).text(strings.Repeat("x", 9*pageSize)).b, 0},
		"multifd, more pages than fit": {channel().packet(0, 128, 129, 129*pageSize).text(strings.Repeat("x", 9*pageSize)).b, 0},
		"multifd, not a packet":        {channel().text(strings.Repeat("x", 9*pageSize)).b, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if n := len(scan(t, test.stream)); n != test.pages {
				t.Errorf("%d pages found, not %d", n, test.pages)
			}
			for size := range 40 {
				if n := len(feed(t, test.stream, func() int { return size }, never)); n != test.pages {
					t.Errorf("%d pages found in chunks of %d, not %d", n, size, test.pages)
				}
			}
		})
	}
}

// The longest search is one in bytes that look like what is searched for.
func TestSearchIsLinear(t *testing.T) {
	s := newStream().ram(1<<30).part(sectionPart, 3)
	s.text(strings.Repeat("~", 64<<20)).footer(3).part(sectionPart, 2).page(0, "pc.ram")
	if n := len(scan(t, s.b)); n != 1 {
		t.Errorf("%d pages found", n)
	}
}
