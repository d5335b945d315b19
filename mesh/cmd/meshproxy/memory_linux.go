package main

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// forgetPages has the kernel take the pages of files out of this process: most of them have
// been read at the start alone, as the descriptions of all the messages that a
// configuration may have. What is needed again is mapped again, from the page cache.
// Mappings in which a page was written to are left alone.
func forgetPages() {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	var from, to uintptr
	var file, clean bool
	flush := func() {
		if file && clean && to > from {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED)
		}
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Bytes()
		fields := bytes.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if name := fields[0]; name[len(name)-1] != ':' {
			flush()
			from, to = addresses(string(name))
			perm := string(fields[1])
			file, clean = len(fields) > 5 && fields[5][0] == '/' && (perm == "r--p" || perm == "r-xp"), true
			continue
		}
		if string(fields[0]) == "Anonymous:" && string(fields[1]) != "0" {
			clean = false
		}
	}
	flush()
}

func addresses(text string) (from, to uintptr) {
	a, b, _ := strings.Cut(text, "-")
	f, err1 := strconv.ParseUint(a, 16, 64)
	t, err2 := strconv.ParseUint(b, 16, 64)
	if err1 != nil || err2 != nil {
		return 0, 0
	}
	return uintptr(f), uintptr(t)
}
