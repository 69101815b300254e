// Package kubernetes checks what packaging/kubernetes gives, as a cluster would: kustomize renders it, Kubernetes' own
// code decodes it strictly, fills in defaults and validates it, and its own Pod Security checks judge the pods.
package kubernetes

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	"k8s.io/kubernetes/pkg/apis/core"

	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
)

const root = "../.."

var codecs = serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)

// A copy of what the overlays are made of, with secrets, so that none are made in the tree.
var tree = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "weir-kubernetes")
	if err != nil {
		return "", err
	}
	for _, part := range []string{"packaging/kubernetes", "rules"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(root, part))); err != nil {
			return "", err
		}
	}
	for _, who := range []string{"hub", "agent"} {
		if err := os.RemoveAll(filepath.Join(dir, "packaging/kubernetes", who, "secret")); err != nil {
			return "", err
		}
	}
	out, err := exec.Command("bash", filepath.Join(dir, "packaging/kubernetes/make-secrets"), "weir-hub.example", "10.0.0.7").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return dir, nil
})

// What kustomize gave, by directory.
var rendered = map[string][]byte{}

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := tree(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func overlays(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, "packaging/kubernetes/overlays"))
	if err != nil || len(entries) == 0 {
		t.Fatal("there is no overlay: ", err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// render gives the documents of a directory below packaging/kubernetes, as kustomize writes them.
func render(t *testing.T, name string) [][]byte {
	t.Helper()
	dir, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	if text, known := rendered[name]; known {
		return split(t, text)
	}
	var said bytes.Buffer
	build := exec.Command("go", "tool", "kustomize", "build", filepath.Join(dir, "packaging/kubernetes", name))
	build.Stderr = &said
	out, err := build.Output()
	// The first time go tells what it fetches. All else is a warning of kustomize.
	warned := slices.ContainsFunc(strings.Split(said.String(), "\n"), func(line string) bool {
		return line != "" && !strings.HasPrefix(line, "go: downloading ")
	})
	if err != nil || warned {
		t.Fatalf("kustomize build %s: %v\n%s", name, err, said.String())
	}
	rendered[name] = out
	return split(t, out)
}

func split(t *testing.T, text []byte) [][]byte {
	t.Helper()
	var documents [][]byte
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(document)) > 0 {
			documents = append(documents, document)
		}
	}
}

// decode reads a document as an API server does: no unknown or doubled field, right types, defaults filled in.
func decode(document []byte) (runtime.Object, *schema.GroupVersionKind, error) {
	return codecs.CodecForVersions(nil, codecs.UniversalDeserializer(), nil, runtime.InternalGroupVersioner).Decode(document, nil, nil)
}

// objects gives what an overlay is made of.
func objects(t *testing.T, name string) []runtime.Object {
	t.Helper()
	var found []runtime.Object
	for _, document := range render(t, name) {
		object, _, err := decode(document)
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		found = append(found, object)
	}
	return found
}

// one gives the only object of a type with a name.
func one[T runtime.Object](t *testing.T, all []runtime.Object, name string) T {
	t.Helper()
	for _, object := range all {
		if typed, ok := object.(T); ok {
			if accessor, err := meta.Accessor(object); err == nil && strings.HasPrefix(accessor.GetName(), name) {
				return typed
			}
		}
	}
	var none T
	t.Fatalf("there is no %T %s", none, name)
	return none
}

// templates gives the pods of an overlay, by the name of what makes them.
func templates(t *testing.T, all []runtime.Object) map[string]*core.PodTemplateSpec {
	t.Helper()
	found := map[string]*core.PodTemplateSpec{}
	for _, object := range all {
		switch object := object.(type) {
		case *apps.Deployment:
			found[object.Name] = &object.Spec.Template
		case *apps.DaemonSet:
			found[object.Name] = &object.Spec.Template
		}
	}
	if len(found) == 0 {
		t.Fatal("there are no pods")
	}
	return found
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
