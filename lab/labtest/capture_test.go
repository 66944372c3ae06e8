package labtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/record"
	"drover/lab"
)

const (
	migrationPort = 6600
	// plainPort is where the control experiment sends memory as it is.
	plainPort  = 7000
	plainBytes = 4 << 20
	// maxTextRun is beyond any text that is sent in the clear on purpose, such as
	// names in a handshake, and far below a page of text.
	maxTextRun = 200
)

// TestNothingInTheClear captures a move on the networks of its hosts.
func TestNothingInTheClear(t *testing.T) {
	s := startSite(t, lab.Options{Name: "capture", Hosts: twoHosts})
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	mig := s.capture(t, lab.HV01, lab.Migration)
	mgmt := []*capture{s.capture(t, lab.HV01, lab.Management), s.capture(t, lab.HV02, lab.Management)}
	// Uncompressed, so that only encryption hides what is looked for.
	rec := s.mustMove(t, vm, lab.HV01, lab.HV02, "--performance", "TCPIP")
	seen := mig.end(t)
	checkMigrationNetwork(t, seen, rec)
	for _, c := range mgmt {
		checkManagementNetwork(t, c.end(t), rec)
	}
	vm.verify(t)
	s.controlExperiment(t, vm)
}

func checkMigrationNetwork(t *testing.T, seen traffic, rec record.Record) {
	t.Helper()
	if rec.Summary == nil || rec.Summary.MemoryBytes < 30<<20 {
		t.Fatalf("the summary %+v has no memory to look for", rec.Summary)
	}
	if got := seen.payload[migrationPort]; got < rec.Summary.MemoryBytes {
		t.Errorf("the capture has %d bytes on port %d, less than the memory of %d", got, migrationPort, rec.Summary.MemoryBytes)
	}
	for port, n := range seen.payload {
		if port != migrationPort {
			t.Errorf("%d bytes with port %d on the migration network", n, port)
		}
	}
	if len(seen.others) > 0 {
		t.Errorf("other packets on the migration network: %v", seen.others)
	}
	if seen.pages > 0 || seen.textRun > maxTextRun {
		t.Errorf("in the clear: %d pages of the guest, %d bytes of text in a row", seen.pages, seen.textRun)
	}
}

func checkManagementNetwork(t *testing.T, seen traffic, rec record.Record) {
	t.Helper()
	if n, found := seen.payload[migrationPort]; found {
		t.Errorf("%d bytes with port %d on the management network", n, migrationPort)
	}
	if seen.bytes == 0 || seen.bytes > rec.Summary.MemoryBytes/50 {
		t.Errorf("%d bytes on the management network, the memory is %d", seen.bytes, rec.Summary.MemoryBytes)
	}
	if seen.pages > 0 {
		t.Errorf("%d pages of the guest on the management network", seen.pages)
	}
}

// controlExperiment sends the guest's memory as it is, so that the checks above
// are known to see what they look for.
func (s *site) controlExperiment(t *testing.T, vm *machine) {
	t.Helper()
	dump := filepath.Join(lab.VMDir, "dump")
	s.virsh(t, lab.HV02, "dump", "--memory-only", vm.Name, dump)
	memory, err := os.ReadFile(s.Member(lab.HV02).Path(dump))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.Member(lab.HV02).Path(dump)); err != nil {
		t.Fatal(err)
	}
	whole := traffic{}
	whole.search(memory)
	if whole.pages < 5000 || whole.textRun < 3000 { // 64 MiB are 16384 pages, a quarter of them zero
		t.Fatalf("the dump has %d pages and %d bytes of text in a row: the search does not work", whole.pages, whole.textRun)
	}
	first := guestPage(memory)
	c := s.capture(t, lab.HV01, lab.Migration)
	s.sendPlain(t, memory[first:min(first+plainBytes, len(memory))])
	if seen := c.end(t); seen.pages < 100 || seen.textRun < 3000 || seen.payload[plainPort] < plainBytes {
		t.Errorf("memory sent as it is looks like %+v: the capture does not work", seen)
	}
}

// sendPlain sends bytes from one host to another over the migration network.
func (s *site) sendPlain(t *testing.T, b []byte) {
	t.Helper()
	hv2 := s.Member(lab.HV02)
	address := net.JoinHostPort(hv2.Address(lab.Migration), strconv.Itoa(plainPort))
	l, err := hv2.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan int64, 1)
	go func() {
		defer l.Close()
		c, err := l.Accept()
		if err != nil {
			received <- -1
			return
		}
		defer c.Close()
		n, _ := io.Copy(io.Discard, c)
		received <- n
	}()
	c, err := s.Member(lab.HV01).Dial(t.Context(), "tcp", address)
	if err != nil {
		l.Close()
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = c.Write(b)
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	if n := <-received; n != int64(len(b)) {
		t.Fatalf("%d of %d bytes arrived", n, len(b))
	}
}

// capture is a tcpdump on one interface of a host.
type capture struct {
	host   *lab.Member
	net    lab.Network
	cmd    *exec.Cmd
	file   string
	stderr *bufio.Reader
}

// capture starts one and returns when it listens.
func (s *site) capture(t *testing.T, host string, n lab.Network) *capture {
	t.Helper()
	c := &capture{host: s.Member(host), net: n, file: filepath.Join(t.TempDir(), "capture.pcap")}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	// The machine's tcpdump, in the host's network only; -B is in KiB.
	c.cmd = exec.CommandContext(ctx, "nsenter", "-t", strconv.Itoa(c.host.PID()), "-n", "--",
		"tcpdump", "-i", string(n), "-Z", "root", "-n", "-s", "0", "-U", "-B", "131072", "-w", c.file)
	pipe, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.stderr = bufio.NewReader(pipe)
	for {
		line, err := c.stderr.ReadString('\n')
		if err != nil {
			t.Fatalf("tcpdump on %s: %v: %s", host, errors.Join(err, c.cmd.Wait()), line)
		}
		if strings.Contains(line, "listening on") {
			return c
		}
	}
}

// end stops a capture and gives what it has; a packet that it lost fails the test.
func (c *capture) end(t *testing.T) traffic {
	t.Helper()
	c.flush(t)
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(c.stderr)
	if err := errors.Join(err, c.cmd.Wait()); err != nil {
		t.Fatalf("tcpdump: %v: %s", err, said)
	}
	if !bytes.Contains(said, []byte("\n0 packets dropped by kernel")) {
		t.Fatalf("tcpdump lost packets: %s", said)
	}
	f, err := os.Open(c.file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen, err := readCapture(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// endMark is in the last packet of a capture: tcpdump leaves unread what the
// kernel still has for it when it is told to stop.
const endMark = "here ends the capture of a test"

// flush sends the mark and waits until it is in the file.
func (c *capture) flush(t *testing.T) {
	t.Helper()
	from, err := c.host.ListenPacket(t.Context(), "udp4", net.JoinHostPort(c.host.Address(c.net), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	// To nobody on this network, by broadcast, so that no address has to be found out first.
	last := net.ParseIP(c.host.Address(c.net)).To4()
	last[3] = 255
	if _, err := from.WriteTo([]byte(endMark), &net.UDPAddr{IP: last, Port: 9}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func(context.Context) error {
		f, err := os.Open(c.file)
		if err != nil {
			return err
		}
		defer f.Close()
		const enough = 1 << 20
		if size, err := f.Seek(0, io.SeekEnd); err != nil {
			return err
		} else if _, err := f.Seek(max(0, size-enough), io.SeekStart); err != nil {
			return err
		}
		if b, err := io.ReadAll(f); err != nil || bytes.Contains(b, []byte(endMark)) {
			return err
		}
		return errors.New("the capture does not come to its end")
	})
}

// traffic is what a capture has.
type traffic struct {
	bytes   uint64            // all packets, with their headers
	payload map[uint16]uint64 // TCP, by the lower port number of the two; the high one is the client's
	others  map[string]int    // packets that are neither TCP nor what finds neighbours
	pages   int               // beginnings of the guest's pages
	textRun int               // longest run of the guest's text
}

// guestPage finds the next page of the guest that is not zero by how it begins:
// magic and kind, little endian (package guest). Eight bytes do not occur by chance.
func guestPage(b []byte) int {
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte("DPGE"))
		if i < 0 {
			return -1
		}
		i += from
		if from = i + 4; len(b) >= i+8 && b[i+4] >= 1 && b[i+4] <= 3 && bytes.Equal(b[i+5:i+8], make([]byte, 3)) {
			return i
		}
	}
}

// guestText is what pages of text are made of: words, blanks, figures.
var guestText = func() (set [256]bool) {
	for _, b := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ,\n0126" {
		set[b] = true
	}
	return set
}()

// search looks for the guest's memory.
func (tr *traffic) search(b []byte) {
	for rest := b; ; tr.pages++ {
		i := guestPage(rest)
		if i < 0 {
			break
		}
		rest = rest[i+8:]
	}
	run := 0
	for _, c := range b {
		if !guestText[c] {
			run = 0
			continue
		}
		run++
		tr.textRun = max(tr.textRun, run)
	}
}

// readCapture reads libpcap's format (pcap-savefile(5)), written by this machine.
func readCapture(r io.Reader) (traffic, error) {
	tr := traffic{payload: map[uint16]uint64{}, others: map[string]int{}}
	header := make([]byte, 24)
	if _, err := io.ReadFull(r, header); err != nil {
		return tr, err
	}
	order := binary.LittleEndian
	if magic, link := order.Uint32(header), order.Uint32(header[20:]); magic != 0xa1b2c3d4 || link != 1 {
		return tr, fmt.Errorf("magic %#x, link type %d: not a capture of Ethernet", magic, link)
	}
	for {
		packet := make([]byte, 16)
		if _, err := io.ReadFull(r, packet); errors.Is(err, io.EOF) {
			return tr, nil
		} else if err != nil {
			return tr, err
		}
		frame := make([]byte, order.Uint32(packet[8:]))
		if _, err := io.ReadFull(r, frame); err != nil {
			return tr, err
		}
		if have, had := len(frame), order.Uint32(packet[12:]); uint32(have) != had {
			return tr, fmt.Errorf("packet of %d bytes cut to %d", had, have)
		}
		tr.frame(frame)
	}
}

// frame takes in an Ethernet frame.
func (tr *traffic) frame(f []byte) {
	tr.bytes += uint64(len(f))
	kind := binary.BigEndian.Uint16(f[12:])
	ip := f[14:]
	const ipv4, ipv6, arp = 0x0800, 0x86dd, 0x0806
	switch {
	case kind == arp, kind == ipv6 && ip[6] == 58, kind == ipv6 && ip[6] == 0: // ICMPv6 and MLD find neighbours
	case kind == ipv4 && ip[9] == 6:
		tr.tcp(ip[int(ip[0]&15)*4 : binary.BigEndian.Uint16(ip[2:])])
	case bytes.Contains(ip, []byte(endMark)):
	case kind == ipv4:
		tr.search(ip)
		tr.others[fmt.Sprintf("IPv4 protocol %d", ip[9])]++
	default:
		tr.search(ip)
		tr.others[fmt.Sprintf("ethertype %#04x", kind)]++
	}
}

func (tr *traffic) tcp(segment []byte) {
	source, destination := binary.BigEndian.Uint16(segment), binary.BigEndian.Uint16(segment[2:])
	payload := segment[int(segment[12]>>4)*4:]
	tr.payload[min(source, destination)] += uint64(len(payload))
	tr.search(payload)
}
