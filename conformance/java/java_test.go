// Package java runs the suite of Kafka's own Java client, which starts in
// Main.java.
package java

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

func TestJavaClient(t *testing.T) {
	jars := filepath.Join(harness.Tool(t, "java"), "*")
	classes := t.TempDir()
	sources, err := filepath.Glob("*.java")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no Java sources: %v", err)
	}
	compile := exec.Command("javac", append([]string{"-Xlint:-options", "-nowarn", "--release", "17", "-cp", jars, "-d", classes}, sources...)...)
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	b := harness.StartBroker(t)
	harness.RunProgram(t, b, harness.Program{
		Args:    []string{"java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classes + ":" + jars, "Main"},
		Timeout: 4 * time.Minute,
	})
	harness.WantCodecs(t, b, "java")
}
