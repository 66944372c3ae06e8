package guest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeKernel is what an unpacked package looks like.
func fakeKernel(t *testing.T, cache, pkg, modules string, age time.Duration) {
	t.Helper()
	dir := filepath.Join(cache, "kernel", pkg)
	for _, d := range []string{"boot", filepath.Join(modules, "6.1")} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "boot", "vmlinuz-6.1"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-age)
	if err := os.Chtimes(dir, then, then); err != nil {
		t.Fatal(err)
	}
}

// withTools makes the programs the only ones on the PATH.
func withTools(t *testing.T, scripts map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

const aptShow = `echo 'Package: linux-image-cloud-amd64'; echo 'Depends: linux-image-6.1.0-9-cloud-amd64 (= 6.1.27-1)'`

func TestCachedKernelNeedsNoNetwork(t *testing.T) {
	cache := t.TempDir()
	withTools(t, map[string]string{"apt-cache": aptShow, "apt-get": "exit 100"})
	fakeKernel(t, cache, "linux-image-6.1.0-9-cloud-amd64_6.1.27-1", "lib/modules", time.Hour)
	fakeKernel(t, cache, "linux-image-6.1.0-8-cloud-amd64_6.1.25-1", "lib/modules", 0)
	k, err := FetchKernel(t.Context(), cache)
	if err != nil || k.Package != "linux-image-6.1.0-9-cloud-amd64_6.1.27-1" || !strings.HasSuffix(k.Modules, "/lib/modules/6.1") {
		t.Errorf("%+v, %v", k, err)
	}
}

func TestNewestCachedKernelWithoutPackageLists(t *testing.T) {
	cache := t.TempDir()
	withTools(t, map[string]string{"apt-cache": "echo 'E: No packages found' >&2; exit 100"})
	_, err := FetchKernel(t.Context(), cache)
	if err == nil || !strings.Contains(err.Error(), "No packages found") || !strings.Contains(err.Error(), "apt-get update") {
		t.Errorf("empty cache: %v", err)
	}
	fakeKernel(t, cache, "linux-image-6.1.0-9-cloud-amd64_6.1.27-1", "lib/modules", time.Hour)
	fakeKernel(t, cache, "linux-image-6.12.1-cloud-amd64_6.12.1-1", "usr/lib/modules", 0)
	k, err := FetchKernel(t.Context(), cache)
	if err != nil || k.Package != "linux-image-6.12.1-cloud-amd64_6.12.1-1" || !strings.Contains(k.Modules, "/usr/lib/") {
		t.Errorf("%+v, %v", k, err)
	}
}

func TestFailedDownloadLeavesNothing(t *testing.T) {
	cache := t.TempDir()
	withTools(t, map[string]string{"apt-cache": aptShow, "apt-get": "echo 'no route' >&2; exit 100"})
	if _, err := FetchKernel(t.Context(), cache); err == nil || !strings.Contains(err.Error(), "no route") {
		t.Errorf("got %v", err)
	}
	left, err := filepath.Glob(filepath.Join(cache, "kernel", "[^.]*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestLockedCacheIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lockDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
	defer cancel()
	if _, err := lockDir(ctx, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("second lock: %v", err)
	}
	unlock()
	again, err := lockDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
