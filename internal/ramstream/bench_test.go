package ramstream

import "testing"

func BenchmarkScan(b *testing.B) {
	lost := append(newStream().ram(1<<30).part(sectionPart, 3).b, rawPages(4096)[100:]...)
	multifd := channel()
	for range 32 {
		multifd.packet(0, packetPages, packetPages, packetPages*pageSize)
		multifd.b = append(multifd.b, make([]byte, packetPages*pageSize)...)
	}
	for _, bench := range []struct {
		name   string
		stream []byte
	}{{"pages", rawPages(4096)}, {"zeros", rawZeros(1 << 20)}, {"multifd", multifd.b}, {"search", lost}} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.stream)))
			b.ReportAllocs()
			for b.Loop() {
				s := New()
				for at := 0; at < len(bench.stream); {
					n, _, _ := s.Next(bench.stream[at:])
					if n == 0 {
						break
					}
					at += n
				}
			}
		})
		b.Run(bench.name+"/pass", func(b *testing.B) {
			b.SetBytes(int64(len(bench.stream)))
			for b.Loop() {
				New().Pass(bench.stream)
			}
		})
	}
}
