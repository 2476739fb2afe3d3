package image

import (
	"slices"
	"strings"
)

// library is what Debian has of a library, and the names by which builds and
// programs ask for it.
type library struct {
	dev, run []string // packages to build with it, and to run with it
	headers  []string // one that ends with a slash is a directory
	configs  []string // of pkg-config
	objects  []string // libNAME.so, -lNAME
}

// libraries are what Python packages of sound, video and data mostly want, with
// names that both Debian 12 and 13 know. The columns are the fields of library.
// What every python image has is not named for running.
func libraries() []library {
	const table = `
libsndfile1-dev|libsndfile1|sndfile.h sndfile.hh|sndfile|sndfile
portaudio19-dev|libportaudio2|portaudio.h|portaudio-2.0|portaudio
libasound2-dev|libasound2|alsa/|alsa|asound
libjack-jackd2-dev|libjack-jackd2-0|jack/|jack|jack
libpulse-dev|libpulse0|pulse/|libpulse|pulse pulse-simple
libportmidi-dev|libportmidi0|portmidi.h|portmidi|portmidi
libsamplerate0-dev|libsamplerate0|samplerate.h|samplerate|samplerate
libsox-dev|libsox3 libsox-fmt-all|sox.h||sox
libsoxr-dev|libsoxr0|soxr.h|soxr|soxr
librubberband-dev|librubberband2|rubberband/|rubberband|rubberband
libaubio-dev|libaubio5|aubio/|aubio|aubio
libflac-dev|libflac-dev|FLAC/ FLAC++/|flac flac++|FLAC
libogg-dev|libogg0|ogg/|ogg|ogg
libvorbis-dev|libvorbis0a libvorbisenc2 libvorbisfile3|vorbis/|vorbis vorbisfile vorbisenc|vorbis vorbisfile vorbisenc
libopus-dev|libopus0|opus/ opus.h|opus|opus
libmp3lame-dev|libmp3lame0|lame/|lame|mp3lame
libmpg123-dev|libmpg123-0|mpg123.h|libmpg123|mpg123
libspeex-dev|libspeex1|speex/|speex|speex
libfluidsynth-dev|libfluidsynth3|fluidsynth.h fluidsynth/|fluidsynth|fluidsynth
libespeak-ng-dev|libespeak-ng1|espeak-ng/ speak_lib.h|espeak-ng|espeak-ng espeak
libfftw3-dev|libfftw3-double3 libfftw3-single3|fftw3.h|fftw3 fftw3f|fftw3 fftw3f
libavformat-dev libavcodec-dev libavdevice-dev libavutil-dev libavfilter-dev libswscale-dev libswresample-dev|ffmpeg|libavformat/ libavcodec/ libavdevice/ libavutil/ libavfilter/ libswscale/ libswresample/|libavformat libavcodec libavdevice libavutil libavfilter libswscale libswresample|avformat avcodec avdevice avutil avfilter swscale swresample
libgstreamer1.0-dev|libgstreamer1.0-0|gst/|gstreamer-1.0|gstreamer-1.0
libv4l-dev|libv4l-0|libv4l1.h libv4l2.h|libv4l2|v4l2
libopencv-dev|libopencv-dev|opencv2/|opencv4 opencv|opencv_core
libtesseract-dev|tesseract-ocr|tesseract/|tesseract|tesseract
libleptonica-dev|libleptonica-dev|leptonica/|lept|lept leptonica
libzbar-dev|libzbar0|zbar.h|zbar|zbar
libjpeg-dev|libjpeg62-turbo|jpeglib.h|libjpeg|jpeg
libturbojpeg0-dev|libturbojpeg0|turbojpeg.h|libturbojpeg|turbojpeg
libpng-dev|libpng16-16|png.h|libpng libpng16|png png16
libtiff-dev|libtiff6|tiff.h tiffio.h|libtiff-4|tiff
libwebp-dev|libwebp7|webp/|libwebp|webp
libfreetype-dev|libfreetype6|ft2build.h freetype/|freetype2|freetype
libcairo2-dev|libcairo2|cairo.h cairo/|cairo|cairo
libpango1.0-dev|libpango-1.0-0|pango/|pango pangocairo|pango-1.0 pangocairo-1.0
libgl-dev|libgl1|GL/gl.h GL/glx.h|gl|GL
libegl-dev|libegl1|EGL/|egl|EGL
libx11-dev|libx11-6|X11/|x11|X11
libxext-dev|libxext6|||Xext
libxrender-dev|libxrender1|||Xrender
libsm-dev|libsm6|||SM
libsdl2-dev|libsdl2-2.0-0|SDL.h SDL2/|sdl2|SDL2 SDL2-2.0
libglib2.0-dev|libglib2.0-0|glib.h gio/ glib-object.h|glib-2.0 gobject-2.0 gio-2.0|glib-2.0 gobject-2.0 gthread-2.0
libgirepository1.0-dev|libgirepository-1.0-1|girepository.h|gobject-introspection-1.0|girepository-1.0
libdbus-1-dev|libdbus-1-3|dbus/|dbus-1|dbus-1
libusb-1.0-0-dev|libusb-1.0-0|libusb.h libusb-1.0/|libusb-1.0|usb-1.0
libffi-dev||ffi.h ffi/|libffi|ffi
libssl-dev||openssl/|openssl libssl libcrypto|ssl crypto
zlib1g-dev||zlib.h|zlib|z
libbz2-dev||bzlib.h|bzip2|bz2
liblzma-dev||lzma.h|liblzma|lzma
liblz4-dev|liblz4-1|lz4.h|liblz4|lz4
libzstd-dev|libzstd1|zstd.h|libzstd|zstd
libyaml-dev|libyaml-0-2|yaml.h|yaml-0.1|yaml
libxml2-dev|libxml2|libxml/ libxml2/|libxml-2.0|xml2
libxslt1-dev|libxslt1.1|libxslt/|libxslt|xslt
libcurl4-openssl-dev|libcurl4|curl/|libcurl|curl
libpq-dev|libpq5|libpq-fe.h postgres_ext.h|libpq|pq
default-libmysqlclient-dev|libmariadb3|mysql.h mysql/|mysqlclient libmariadb|mysqlclient mariadb
libsqlite3-dev|libsqlite3-0|sqlite3.h|sqlite3|sqlite3
libldap-dev libsasl2-dev|libldap-dev|ldap.h lber.h sasl/|ldap|ldap lber
libsodium-dev|libsodium23|sodium.h|libsodium|sodium
libzmq3-dev|libzmq5|zmq.h|libzmq|zmq
librdkafka-dev|librdkafka1|librdkafka/|rdkafka|rdkafka
libhdf5-dev|libhdf5-dev|hdf5.h|hdf5|hdf5
libopenblas-dev|libopenblas0|cblas.h lapacke.h openblas_config.h|openblas blas lapack|openblas blas lapack
libeigen3-dev||Eigen/|eigen3|
libboost-dev||boost/||
libgmp-dev|libgmp10|gmp.h|gmp|gmp
libmagic-dev|libmagic1|magic.h||magic
libbluetooth-dev|libbluetooth3|bluetooth/|bluez|bluetooth
libprotobuf-dev protobuf-compiler|libprotobuf32|google/protobuf/|protobuf|protobuf
libgomp1|libgomp1|||gomp
libc6-dev||stdio.h stdlib.h limits.h features.h string.h math.h errno.h crypt.h||c m
linux-libc-dev||linux/ asm/||
python3-dev||Python.h pyconfig.h|python3|`
	var out []library
	for line := range strings.Lines(strings.TrimSpace(table)) {
		columns := strings.Split(strings.TrimSpace(line), "|")
		for len(columns) < 5 {
			columns = append(columns, "")
		}
		field := func(i int) []string { return strings.Fields(columns[i]) }
		out = append(out, library{field(0), field(1), field(2), field(3), field(4)})
	}
	return out
}

func byHeader(name string) (library, bool) {
	return find(func(l library) bool {
		return slices.ContainsFunc(l.headers, func(h string) bool {
			return h == name || strings.HasSuffix(h, "/") && strings.HasPrefix(name, h)
		})
	})
}

func byConfig(name string) (library, bool) {
	return find(func(l library) bool { return slices.Contains(l.configs, strings.ToLower(name)) })
}

func byObject(name string) (library, bool) {
	return find(func(l library) bool { return slices.Contains(l.objects, name) })
}

func find(fits func(library) bool) (library, bool) {
	all := libraries()
	if i := slices.IndexFunc(all, fits); i >= 0 {
		return all[i], true
	}
	return library{}, false
}

// programs are the packages of what builds call by name.
func programs() map[string][]string {
	out := map[string][]string{
		"cmake": {"cmake"}, "ninja": {"ninja-build"}, "cargo": {"cargo"}, "rustc": {"cargo"}, "pkg-config": {"pkg-config"}, "pkgconf": {"pkg-config"},
		"gfortran": {"gfortran"}, "git": {"git"}, "swig": {"swig"}, "nasm": {"nasm"}, "yasm": {"yasm"}, "autoconf": {"autoconf"}, "autoreconf": {"autoconf", "automake"},
		"automake": {"automake"}, "libtoolize": {"libtool"}, "bison": {"bison"}, "flex": {"flex"}, "protoc": {"protobuf-compiler"}, "patchelf": {"patchelf"},
		"pg_config": {"libpq-dev"}, "mysql_config": {"default-libmysqlclient-dev"}, "curl-config": {"libcurl4-openssl-dev"}, "xml2-config": {"libxml2-dev"},
		"xslt-config": {"libxslt1-dev"}, "llvm-config": {"llvm-dev"}, "sdl2-config": {"libsdl2-dev"}, "krb5-config": {"libkrb5-dev"}, "gdal-config": {"libgdal-dev"},
		"unzip": {"unzip"}, "xz": {"xz-utils"}, "curl": {"curl"}, "wget": {"wget"},
	}
	for _, compiler := range []string{"gcc", "g++", "cc", "c++", "make", "ld", "ar", "x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc"} {
		out[compiler] = []string{compilers}
	}
	return out
}

const compilers = "build-essential"

// commands are the packages of what nodes themselves start.
func commands() map[string]string {
	return map[string]string{
		"ffmpeg": "ffmpeg", "ffprobe": "ffmpeg", "sox": "sox", "espeak": "espeak-ng", "espeak-ng": "espeak-ng", "flac": "flac", "lame": "lame", "mpg123": "mpg123",
		"tesseract": "tesseract-ocr", "pdftotext": "poppler-utils", "pdftoppm": "poppler-utils", "convert": "imagemagick", "git": "git", "curl": "curl", "wget": "wget",
		"dot": "graphviz", "gs": "ghostscript", "exiftool": "libimage-exiftool-perl", "mediainfo": "mediainfo", "v4l2-ctl": "v4l-utils", "aplay": "alsa-utils",
	}
}

// wants are the libraries that Python packages are built with: without a
// compiler no build gets as far as to say so.
func wants(project string) (library, bool) {
	byName := map[string]string{
		"pyaudio": "portaudio-2.0", "pyalsaaudio": "alsa", "python-rtmidi": "alsa", "av": "libavformat", "pyav": "libavformat", "pycairo": "cairo", "cffi": "libffi", "psycopg2": "libpq",
		"mysqlclient": "mysqlclient", "python-ldap": "ldap", "dbus-python": "dbus-1", "pygobject": "gobject-introspection-1.0", "lxml": "libxslt", "pillow": "libjpeg",
		"pycurl": "libcurl", "pyzmq": "libzmq", "aubio": "aubio", "samplerate": "samplerate", "pysndfile": "sndfile", "opuslib": "opus", "h5py": "hdf5",
		"confluent-kafka": "rdkafka", "pynacl": "libsodium", "cryptography": "openssl", "pyyaml": "yaml-0.1", "tesserocr": "tesseract", "pygame": "sdl2", "pybluez": "bluez",
	}
	config, ok := byName[strings.ReplaceAll(strings.ToLower(project), "_", "-")]
	if !ok {
		return library{}, false
	}
	return byConfig(config)
}
