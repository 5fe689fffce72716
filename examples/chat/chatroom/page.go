package chatroom

import (
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
)

//go:embed web
var web embed.FS

// Pages serves the page.
func Pages() http.Handler {
	pages, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // web is there, or this would not have been compiled
	}
	return http.FileServerFS(pages)
}

// Library returns the folder of the client library, for sio.Config.Client: folder, or
// where npm ci has put it.
func Library(folder string) (fs.FS, error) {
	places := []string{folder}
	if folder == "" {
		installed := filepath.Join("node_modules", "socket.io-client", "dist")
		places = []string{installed, filepath.Join("..", "chat", installed), filepath.Join("examples", "chat", installed)}
	}
	for _, place := range places {
		if _, err := os.Stat(place); err == nil {
			return os.DirFS(place), nil
		}
	}
	return nil, fmt.Errorf("no client library in %q: run npm ci in examples/chat first", places)
}
