package builtin

import (
	"slices"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// The factors of BT.601 in 1/65536. Video has luma of 16 to 235 and chroma of
// 16 to 240 around 128; full range uses 0 to 255 for both.
type matrix struct {
	black, luma int32 // the level of black, and what a step of luma is worth

	redV, greenU, greenV, blueU int32
}

func videoRange() matrix {
	return matrix{black: 16, luma: 76309, redV: 104597, greenU: 25675, greenV: 53279, blueU: 132201}
}

func fullRange() matrix {
	return matrix{luma: 65536, redV: 91881, greenU: 22553, greenV: 46802, blueU: 116130}
}

const half = 1 << 15 // rounds to the nearest

// toRGB turns three planes of n pixels, one after the other, into rgb24.
func (m matrix) toRGB(to, from []byte, n int) {
	ys, us, vs := from[:n], from[n:2*n], from[2*n:3*n]
	for i := range n {
		y := (int32(ys[i])-m.black)*m.luma + half
		u, v := int32(us[i])-128, int32(vs[i])-128
		rgb := to[3*i : 3*i+3 : 3*i+3]
		rgb[0] = level(y + v*m.redV)
		rgb[1] = level(y - u*m.greenU - v*m.greenV)
		rgb[2] = level(y + u*m.blueU)
	}
}

func level(x int32) byte {
	return byte(min(max(x>>16, 0), 255))
}

// fromRGB writes the pixels of a row into three planes, in video range. unit
// is the bytes of a pixel, r and b where red and blue are in it.
func fromRGB(ys, us, vs, row []byte, unit, r, b int) {
	us, vs = us[:len(ys)], vs[:len(ys)]
	for i := range ys {
		p := row[i*unit : i*unit+3 : i*unit+3]
		red, green, blue := int32(p[r]), int32(p[1]), int32(p[b])
		ys[i] = byte((16829*red + 33039*green + 6416*blue + 16<<16 + half) >> 16)
		us[i] = byte((-9714*red - 19070*green + 28784*blue + 128<<16 + half) >> 16)
		vs[i] = byte((28784*red - 24103*green - 4681*blue + 128<<16 + half) >> 16)
	}
}

// y4mOf is the layout in which a frame's format is stored.
func y4mOf(code uint32) y4mLayout {
	switch code {
	case channel.I420, channel.NV12:
		return y4m420
	case channel.Gray8:
		return y4mMono
	}
	return y4m444
}

// appendPlanes appends a picture as the planes of a file, without what pads its
// rows. Channel has checked that the payload has the size of its format.
func appendPlanes(to []byte, v *channel.VideoFormat, payload []byte) []byte {
	w, h, stride := int(v.Width), int(v.Height), int(v.Stride)
	switch v.FourCC {
	case channel.RGB24:
		return appendRGB(to, payload, w, h, stride, 3, 0)
	case channel.BGR24:
		return appendRGB(to, payload, w, h, stride, 3, 2)
	case channel.RGBA:
		return appendRGB(to, payload, w, h, stride, 4, 0)
	}
	to = appendRows(to, payload, w, h, stride)
	if v.FourCC == channel.Gray8 {
		return to
	}
	chroma, cw, ch := payload[stride*h:], (w+1)/2, (h+1)/2
	if v.FourCC == channel.NV12 {
		return appendPairs(to, chroma, cw, ch, stride+stride%2)
	}
	row := (stride + 1) / 2
	to = appendRows(to, chroma, cw, ch, row)
	return appendRows(to, chroma[row*ch:], cw, ch, row)
}

func appendRows(to, from []byte, w, h, stride int) []byte {
	if w == stride {
		return append(to, from[:w*h]...)
	}
	for y := range h {
		to = append(to, from[y*stride:y*stride+w]...)
	}
	return to
}

// appendPairs takes the two interleaved chroma planes of nv12 apart.
func appendPairs(to, from []byte, w, h, stride int) []byte {
	for first := range 2 {
		for y := range h {
			row := from[y*stride : y*stride+2*w]
			for x := first; x < len(row); x += 2 {
				to = append(to, row[x])
			}
		}
	}
	return to
}

func appendRGB(to, from []byte, w, h, stride, unit, r int) []byte {
	begin, n := len(to), w*h
	to = slices.Grow(to, 3*n)[:begin+3*n]
	planes := to[begin:]
	for y := range h {
		at := y * w
		fromRGB(planes[at:at+w], planes[n+at:n+at+w], planes[2*n+at:2*n+at+w], from[y*stride:], unit, r, 2-r)
	}
	return to
}
