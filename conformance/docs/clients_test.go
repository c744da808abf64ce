package docs

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// TestClientVersions compares the versions in the table of docs/clients.md
// with those that are locked.
func TestClientVersions(t *testing.T) {
	text := read(t, "docs", "clients.md")
	rows := map[string][]string{} // by client, the cells after it
	for line := range strings.Lines(text) {
		if cells := strings.Split(strings.Trim(line, "| \n"), " | "); len(cells) == 6 {
			rows[cells[0]] = cells[1:]
		}
	}
	kafkaJS, pika := npm(t, "kafkajs", "kafkajs"), pip(t, "amqppython", "pika")
	amqp091 := goModule(t, ".", "github.com/rabbitmq/amqp091-go")
	kgo := goModule(t, ".", "github.com/twmb/franz-go")
	for client, want := range map[string]string{
		"KafkaJS":                    kafkaJS,
		"confluent-kafka":            pip(t, "python", "confluent-kafka"),
		"kafka-python":               pip(t, "python", "kafka-python"),
		"kafka-clients":              maven(t, "conformance/java/pom.xml", "kafka-clients"),
		"segmentio/kafka-go":         goModule(t, ".", "github.com/segmentio/kafka-go"),
		"IBM/sarama":                 goModule(t, ".", "github.com/IBM/sarama"),
		"franz-go (kgo, kadm)":       kgo + ", " + goModule(t, ".", "github.com/twmb/franz-go/pkg/kadm"),
		"franz-go's own `kgo` suite": kgo,

		"pika: the [examples](../examples/rabbitmq-python/README.md)": pika,
		"pika: blocking and asynchronous adapters":                    pika,
		"aio-pika":      pip(t, "amqppython", "aio-pika"),
		"Celery, kombu": pip(t, "amqppython", "celery"),
		"amqplib":       npm(t, "amqpnode", "amqplib"),
		"amqp-client":   maven(t, "conformance/amqpjava/pom.xml", "amqp-client"),
		"amqp091-go's own suite, `TestIntegration`":                 amqp091,
		"amqp091-go's own suite, the rest":                          amqp091,
		"watermill-amqp's own suite":                                goModule(t, "../amqpgo/watermill", "github.com/ThreeDotsLabs/watermill-amqp/v3"),
		"KafkaJS and pika on one broker ([streams.md](streams.md))": kafkaJS + ", " + pika,
	} {
		row := rows[client]
		if row == nil {
			t.Errorf("docs/clients.md has no row for %s", client)
			continue
		}
		if said := row[0]; said != want && !strings.HasPrefix(said, want+" ") && !strings.HasPrefix(said, want+",") {
			t.Errorf("%s: docs/clients.md says %q, %q is locked", client, said, want)
		}
	}
	head := rows["client"]
	if peer := "Apache Kafka " + maven(t, "bench/peer/pom.xml", "kafka_2.13"); head == nil || head[4] != peer {
		t.Errorf("docs/clients.md compares with %q, the peer is %q", head, peer)
	}
}

// read returns a file of the repository.
func read(t *testing.T, path ...string) string {
	t.Helper()
	root, err := harness.Root()
	harness.Must(t, err)
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	harness.Must(t, err)
	return string(text)
}

// npm is the version of a package in the package-lock.json of a suite.
func npm(t *testing.T, suite, name string) string {
	t.Helper()
	var lock struct {
		Packages map[string]struct{ Version string }
	}
	harness.Must(t, json.Unmarshal([]byte(read(t, "conformance", suite, "package-lock.json")), &lock))
	return locked(t, name, lock.Packages["node_modules/"+name].Version)
}

// pip is the version of a package in the requirements.txt of a suite.
func pip(t *testing.T, suite, name string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `==(\S+)$`).FindStringSubmatch(read(t, "conformance", suite, "requirements.txt"))
	return locked(t, name, strings.Join(found[min(1, len(found)):], ""))
}

// maven is the version of a dependency in a pom.
func maven(t *testing.T, pom, artifact string) string {
	t.Helper()
	var project struct {
		KafkaVersion string `xml:"properties>kafka.version"`
		Dependencies []struct {
			ArtifactID string `xml:"artifactId"`
			Version    string `xml:"version"`
		} `xml:"dependencies>dependency"`
	}
	harness.Must(t, xml.Unmarshal([]byte(read(t, pom)), &project))
	for _, d := range project.Dependencies {
		if d.ArtifactID == artifact {
			return locked(t, artifact, strings.ReplaceAll(d.Version, "${kafka.version}", project.KafkaVersion))
		}
	}
	return locked(t, artifact, "")
}

// goModule is the version of a module that the module in dir builds with.
func goModule(t *testing.T, dir, path string) string {
	t.Helper()
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Version}}", path)
	cmd.Dir = dir
	out, err := cmd.Output()
	harness.Must(t, err)
	return locked(t, path, strings.TrimPrefix(strings.TrimSpace(string(out)), "v"))
}

// locked fails t when no version was found.
func locked(t *testing.T, name, version string) string {
	t.Helper()
	if version == "" {
		t.Fatalf("%s is locked nowhere", name)
	}
	return version
}
