// Command pullthrough is CNCF Distribution v3 as a pull-through cache of a
// registry, with its storage in a directory.
//
//	pullthrough ADDRESS TARGET DIRECTORY
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // the "filesystem" driver
	"github.com/sirupsen/logrus"
)

func main() {
	logrus.SetOutput(io.Discard) // else a line and more for every request
	cache := handlers.NewApp(context.Background(), &configuration.Configuration{
		Storage: configuration.Storage{"filesystem": {"rootdirectory": os.Args[3]}},
		Proxy:   configuration.Proxy{RemoteURL: os.Args[2]},
	})
	log.Fatal(http.ListenAndServe(os.Args[1], cache))
}
