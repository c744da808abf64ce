// Package service is what the two programs of the example have in common: a database,
// keys, the broker.
package service

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/kafka"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// A Payment is the body of the event.
type Payment struct {
	Order string `json:"order"`
	Card  string `json:"card"`
}

// A Service is what a program works with.
type Service struct {
	DB        *sqldb.DB[*sql.Tx]
	Endpoint  *seal.Endpoint[*sql.Tx]
	Broker    bus.Bus
	Publisher bus.Publisher // for a relay: the broker, with the directory counting
}

// Main runs a program until Ctrl-C. Rules say what its endpoint seals, and to whom. The
// program has these flags, and may have arguments:
//
//	-folder DIR       has NAME.id, NAME.key and root.pub, and gets NAME.db
//	-kafka ADDRESS    of the broker
//	-directory URL    of the broker's HTTP
func Main(name string, run func(ctx context.Context, s *Service) error, rules ...seal.Option) {
	folder := flag.String("folder", ".", "has the keys, and gets the database")
	address := flag.String("kafka", "127.0.0.1:9092", "address of the broker")
	url := flag.String("directory", "http://127.0.0.1:8080", "URL of the broker's HTTP")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := start(ctx, name, *folder, *address, *url, run, rules); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func start(ctx context.Context, name, folder, address, url string, run func(ctx context.Context, s *Service) error, rules []seal.Option) error {
	db, pool, err := sqldb.Open("sqlite:" + filepath.Join(folder, name+".db"))
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := tables(ctx, db); err != nil {
		return err
	}
	broker, err := kafka.New([]string{address})
	if err != nil {
		return err
	}
	defer broker.Close()
	dir, err := directory.NewClient(directory.Config{URL: url, User: "guest", Password: "guest"})
	if err != nil {
		return err
	}
	ep, err := endpoint(db, folder, name, dir, rules)
	if err != nil {
		return err
	}
	restored, err := ep.Check(ctx) // was the database set back, as by a restore?
	if err == nil && restored {
		err = outbox.New(db).RenewEpoch(ctx) // or new events would be taken for those that are lost
	}
	if err != nil {
		return err
	}
	if err := ep.Publish(ctx); err != nil { // from here on others can seal to it
		return err
	}
	fmt.Printf("%s is ready\n", name)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ep.Run(ctx) }) // renews its keys
	g.Go(func() error { return run(ctx, &Service{db, ep, broker, seal.Counted(broker, dir, name)}) })
	return g.Wait()
}

// tables are those of the SDK, and the programs' own.
func tables(ctx context.Context, db *sqldb.DB[*sql.Tx]) error {
	err := sqldb.Migrate(ctx, db)
	for _, create := range []string{
		"CREATE TABLE IF NOT EXISTS purchase (id TEXT PRIMARY KEY)",
		"CREATE TABLE IF NOT EXISTS charge (order_id TEXT, card TEXT)",
	} {
		if err == nil {
			_, err = db.Conn().Exec(ctx, create)
		}
	}
	return err
}

// endpoint seals and opens by the keys in a folder. Whoever the root has not certified
// is nobody, whatever the directory says.
func endpoint(db *sqldb.DB[*sql.Tx], folder, name string, dir *directory.Client, rules []seal.Option) (*seal.Endpoint[*sql.Tx], error) {
	identity, err := read(folder, name+".id", seal.DecodeIdentity)
	storage, err2 := read(folder, name+".key", seal.DecodeStorageKey)
	root, err3 := read(folder, "root.pub", seal.ParseRootKey)
	if err := errors.Join(err, err2, err3); err != nil {
		return nil, err
	}
	ring, err := seal.NewKeyRing(storage)
	if err != nil {
		return nil, err
	}
	return seal.New(db, identity, ring, append(rules, seal.Pinned(root), seal.Through(dir), seal.CountedBy(dir))...)
}

// read reads a key from its file.
func read[T any](folder, file string, decode func([]byte) (T, error)) (key T, err error) {
	line, err := os.ReadFile(filepath.Join(folder, file))
	if err != nil {
		return key, err
	}
	return decode(line)
}
