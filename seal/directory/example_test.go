package directory_test

import (
	"context"
	"fmt"
	"log"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/seal/directory"
)

func ExampleClient() {
	ctx := context.Background()
	b, err := waxwing.Start(ctx, waxwing.InMemory(), waxwing.HTTPAddr("127.0.0.1:0"))
	if err != nil {
		log.Fatal(err)
	}
	defer b.Stop(ctx)
	// From another machine it is https, with the roots to trust in TLS.
	dir, err := directory.NewClient(directory.Config{URL: "http://" + b.HTTPAddr(), User: "guest", Password: "guest"})
	if err != nil {
		log.Fatal(err)
	}
	defer dir.Close()

	// The service orders publishes what others need.
	status, err := dir.Publish(ctx, "orders", directory.Publication{
		RegistrationID: 1,
		Certificate:    []byte("certificate"),
		Signed:         &directory.SignedKey{ID: 1, Key: []byte("key"), Signature: []byte("signature")},
		LastResort:     &directory.SignedKey{ID: 1000, Key: []byte("KEM key"), Signature: []byte("signature")},
		OneTime:        []directory.Key{{ID: 1, Key: []byte("one")}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d one-time key waits\n", status.OneTime)

	// Another one begins sessions with it.
	for range 2 {
		bundle, err := dir.Take(ctx, "orders")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("one-time key: %v, last resort: %v\n", bundle.OneTime != nil, bundle.LastResort)
	}

	// Before orders sends, it says up to which sequence.
	marks, err := dir.Raise(ctx, "orders", map[uint32]uint64{0: 41, 1: 7})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(marks)
	// Output:
	// 1 one-time key waits
	// one-time key: true, last resort: true
	// one-time key: false, last resort: true
	// map[0:41 1:7]
}
