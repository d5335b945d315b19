package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// maxFile bounds files whose text becomes part of the configuration.
const maxFile = 1 << 20

// readFile returns a file's text.
func (b *builder) readFile(p *place, name string) string {
	text, err := readSome(name)
	if err != nil {
		b.bad(p, "%q: %v", name, reason(err))
	}
	return text
}

func readSome(name string) (string, error) {
	if info, err := os.Stat(name); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() {
		return "", errors.New("it has to be a regular file")
	}
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = errors.New("it has more than 1 MiB")
	}
	return string(text), err
}

// reason is what is wrong with a file, without its name.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// readVariable returns what an environment variable is set to.
func (b *builder) readVariable(p *place, name string) string {
	value, ok := os.LookupEnv(name)
	if !ok {
		b.bad(p, "the environment variable %q is not set", name)
	}
	return value
}
