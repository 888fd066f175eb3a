// Volumes lets every user write to the volumes that appear in a folder.
//
// The host-path provisioner makes them for root alone, and the kubelet gives host-path volumes to
// no group, so that a pod that is not root could not use its own claim.
package main

import (
	"log"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

func main() {
	folder := os.Args[1]
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		log.Fatal(err)
	}
	if err := watcher.Add(folder); err != nil {
		log.Fatal(err)
	}
	present, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		log.Fatal(err)
	}
	for _, volume := range present {
		open(volume)
	}
	for event := range watcher.Events {
		if event.Has(fsnotify.Create) {
			open(event.Name)
		}
	}
}

func open(volume string) {
	if err := os.Chmod(volume, 0o777); err != nil {
		log.Print(err)
	}
}
