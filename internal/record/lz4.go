package record

import "encoding/binary"

// isLZ4Frame reports whether src is exactly one LZ4 frame of independent
// blocks, by its structure: what every Kafka client can read. The library
// behind unlz4 would also take several frames, skippable and legacy ones and
// linked blocks, at which Java consumers stop or fail. The rest of the
// descriptor and the checksums are left to it.
//
//	4  magic 0x184D2204, little endian from here on
//	1  FLG: version 01 · independent · block checksum · content size · content checksum · 0 · dictionary
//	1  BD
//	8  content size, if FLG says so
//	1  header checksum
//	   blocks: 4 size (top bit: stored), data, 4 checksum if FLG says so
//	4  end mark, zero
//	4  content checksum, if FLG says so
func isLZ4Frame(src []byte) bool {
	const (
		magic           = 0x184D2204
		independent     = 0x20
		blockChecksum   = 0x10
		contentSize     = 0x08
		contentChecksum = 0x04
		stored          = 1 << 31
	)
	if len(src) < 7 || binary.LittleEndian.Uint32(src) != magic {
		return false
	}
	flags := src[4]
	if flags&independent == 0 {
		return false
	}
	pos := 7
	if flags&contentSize != 0 {
		pos += 8
	}
	for pos+4 <= len(src) {
		size := int(binary.LittleEndian.Uint32(src[pos:]) &^ stored)
		pos += 4
		if size == 0 {
			break
		}
		if flags&blockChecksum != 0 {
			size += 4
		}
		if size > len(src)-pos {
			return false
		}
		pos += size
	}
	if flags&contentChecksum != 0 {
		pos += 4
	}
	return pos == len(src)
}
