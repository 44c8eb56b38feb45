package main

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	"nearby/internal/doctest"
	"nearby/store/postgres/pgtest"
)

// deployed is a file of the folder deploy.
func deployed(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(doctest.Root, "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// promtool runs the program that reads rules as Prometheus does.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	switch {
	case err == nil:
	case os.Getenv("NEARBY_TEST_PROMTOOL") == "required":
		t.Fatal("promtool was provisioned and is not found")
	default:
		t.Skip("promtool is not installed; Debian: apt-get install prometheus")
	}
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %q: %v\n%s", args, err, out)
	}
}

var (
	series      = regexp.MustCompile(`(?m)^([a-z_]+)(?:\{(.*)\})? \S+$`)
	label       = regexp.MustCompile(`(\w+)="`)
	metricName  = regexp.MustCompile(`\b(?:(?:nearby|go|process)_\w+|up)\b`)
	labelNeeded = regexp.MustCompile(`(\w+)\s*=~?\s*"`)
)

// servedMetrics are the metrics that a server on a folder and one on a database serve, each with its
// labels and those that Prometheus adds. A histogram has its three series.
func servedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{"up": {"job", "instance"}}
	issuer := newAuthority(t)
	cert, key := issuer.files(1, "", time.Now().Add(time.Hour))
	for _, s := range []*server{
		startServer(t, t.TempDir(), "--tls-cert", cert, "--tls-key", key),
		startReplicas(t, []string{pgtest.Database(t)}, "--shadow", "0.001").at(0),
	} {
		c := issuer.client(true)
		if status, body := call(c, http.MethodPut, s.base+"/v1/collections/c", "application/json", "{}"); status != http.StatusCreated {
			t.Fatalf("%d %s", status, body)
		}
		_, body := call(c, http.MethodGet, s.base+"/metrics", "", "")
		for _, m := range series.FindAllStringSubmatch(string(body), -1) {
			labels := []string{"job", "instance"}
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				labels = append(labels, l[1])
			}
			all[m[1]] = labels
		}
	}
	return all
}

// checkExpression: what is asked for is served, with these labels.
func checkExpression(t *testing.T, where, expr string, served map[string][]string) {
	t.Helper()
	quoted := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, `""`)
	names := metricName.FindAllString(quoted, -1)
	if len(names) == 0 {
		t.Errorf("%s asks for no metric: %s", where, expr)
	}
	var labels []string
	for _, name := range names {
		if _, ok := served[name]; !ok {
			t.Errorf("%s asks for %s, which no server serves", where, name)
		}
		labels = append(labels, served[name]...)
	}
	for _, m := range labelNeeded.FindAllStringSubmatch(expr, -1) {
		if !slices.Contains(labels, m[1]) {
			t.Errorf("%s asks for the label %s, which %v do not have", where, m[1], names)
		}
	}
}

// TestMonitoring: the documents, the alerts and the dashboard are about what servers serve.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	served := servedMetrics(t)
	t.Run("documents", func(t *testing.T) { checkDocumentedMetrics(t, served) })
	t.Run("alerts", func(t *testing.T) { checkAlerts(t, served) })
	t.Run("dashboard", func(t *testing.T) { checkDashboard(t, served) })
}

// checkDocumentedMetrics: docs/metrics.md lists what servers serve, with the labels, and no more.
func checkDocumentedMetrics(t *testing.T, all map[string][]string) {
	served := map[string]string{}
	for name, labels := range all {
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, part)
		}
		if labels = slices.DeleteFunc(labels[2:], func(l string) bool { return l == "le" }); strings.HasPrefix(name, "nearby_") {
			served[name] = strings.Join(slices.Sorted(slices.Values(labels)), ",")
		}
	}
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(nearby_\\w+)(?:\\{(.*?)\\})?` \\|").FindAllStringSubmatch(doctest.Pages(t)["docs/metrics.md"], -1) {
		documented[m[1]] = strings.Join(slices.Sorted(strings.SplitSeq(m[2], ",")), ",")
	}
	for name, labels := range served {
		if got, ok := documented[name]; !ok || got != labels {
			t.Errorf("%s has the labels %q; docs/metrics.md says %q, %v", name, labels, got, ok)
		}
	}
	for name := range documented {
		if _, ok := served[name]; !ok {
			t.Errorf("docs/metrics.md names %s, which no server serves", name)
		}
	}
}

// alert is a rule of Prometheus.
type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// checkAlerts: the rules and their tests are accepted by Prometheus' own program, ask for what is
// served, and are in the documents with their severity.
func checkAlerts(t *testing.T, served map[string][]string) {
	var file struct {
		Groups []struct{ Rules []alert }
	}
	if err := yaml.Unmarshal(deployed(t, "prometheus/nearby.rules.yml"), &file); err != nil {
		t.Fatal(err)
	}
	var tests struct {
		Tests []struct {
			Checks []struct {
				Name    string `yaml:"alertname"`
				Alerted []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal(deployed(t, "prometheus/nearby.rules.test.yml"), &tests); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, c := range test.Checks {
			fires[c.Name] = fires[c.Name] || len(c.Alerted) > 0
			quiet[c.Name] = quiet[c.Name] || len(c.Alerted) == 0
		}
	}
	rules := map[string]string{} // the severity of each
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			rules[r.Alert] = r.Labels["severity"]
			checkExpression(t, r.Alert, r.Expr, served)
			if r.Annotations["summary"] == "" {
				t.Errorf("%s says nothing", r.Alert)
			}
			if !fires[r.Alert] || !quiet[r.Alert] {
				t.Errorf("%s is not tested both to fire and to be quiet", r.Alert)
			}
		}
	}
	pages := doctest.Pages(t)
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(Nearby\\w+)` \\| (\\w+) \\| \\S").FindAllStringSubmatch(pages["docs/operations.md"], -1) {
		documented[m[1]] = m[2]
	}
	if !maps.Equal(rules, documented) {
		t.Errorf("the rules are\n%v,\ndocs/operations.md says what to do for\n%v", rules, documented)
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`(Nearby\\w+)`").FindAllStringSubmatch(pages["docs/metrics.md"], -1) {
		named[m[1]] = true
	}
	if got, want := slices.Sorted(maps.Keys(named)), slices.Sorted(maps.Keys(rules)); !slices.Equal(got, want) {
		t.Errorf("docs/metrics.md names the alerts %v, not %v", got, want)
	}
	promtool(t, "check", "rules", filepath.Join(doctest.Root, "deploy/prometheus/nearby.rules.yml"))
	promtool(t, "test", "rules", filepath.Join(doctest.Root, "deploy/prometheus/nearby.rules.test.yml"))
}

// dashboard is what the test looks at of a dashboard of Grafana.
type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct {
			Name, Type, Definition string
			Datasource             any
		}
	}
	Annotations struct {
		List []struct {
			Name, Expr string
			Datasource struct{ UID string }
		}
	}
	Panels []struct {
		ID                       int
		Type, Title, Description string
		Datasource               struct{ UID string }
		GridPos                  struct{ X, Y, W, H int }
		FieldConfig              struct{ Defaults struct{ Unit string } }
		Targets                  []struct {
			RefID, Expr string
			Datasource  struct{ UID string }
		}
	}
}

// unitsOf are those that a panel may have that shows a metric as it is served.
func unitsOf(metric string) []string {
	switch {
	case strings.HasSuffix(metric, "_seconds") || strings.HasSuffix(metric, "_seconds_bucket"):
		return []string{"s"}
	case strings.HasSuffix(metric, "_bytes"):
		return []string{"bytes"}
	}
	return nil // any
}

// checkDashboard: every panel asks for what is served, with an expression that Prometheus reads, in
// the unit of the metric, and of the source that the reader has chosen; no panel lies on another.
func checkDashboard(t *testing.T, served map[string][]string) {
	var d dashboard
	if err := json.Unmarshal(deployed(t, "grafana/nearby.json"), &d, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	exprs := map[string]string{}
	const source = "${datasource}"
	variables := map[string]bool{}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
		if v.Type == "query" {
			checkExpression(t, "the variable "+v.Name, v.Definition, served)
		}
	}
	if d.Templating.List[0].Name != "datasource" || d.Templating.List[0].Type != "datasource" {
		t.Error("the first variable is not the data source")
	}
	for _, a := range d.Annotations.List {
		exprs[a.Name] = a.Expr
		if a.Datasource.UID != source {
			t.Errorf("%s asks %s", a.Name, a.Datasource.UID)
		}
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("the panel %d %q has the number of another, or no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q lies on %q, or beside the page", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != source || len(p.Targets) == 0 {
			t.Errorf("%q has no description, unit or question, or a fixed data source", p.Title)
		}
		for _, q := range p.Targets {
			exprs[p.Title+" "+q.RefID] = q.Expr
			if q.Datasource.UID != source {
				t.Errorf("%q asks %s", p.Title, q.Datasource.UID)
			}
			for _, v := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(q.Expr, -1) {
				if !variables[v[1]] && v[1] != "__rate_interval" {
					t.Errorf("%q has the variable %s, which there is not", p.Title, v[1])
				}
			}
			for _, name := range metricName.FindAllString(q.Expr, -1) {
				if units := unitsOf(name); units != nil && !slices.Contains(append(units, "percentunit"), p.FieldConfig.Defaults.Unit) && !strings.Contains(q.Expr, "> 0") {
					t.Errorf("%q shows %s in %s, not in %v", p.Title, name, p.FieldConfig.Defaults.Unit, units)
				}
			}
		}
	}
	// Expressions are read as those of rules, with values in place of the variables.
	values := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*", "$collection", ".*")
	var rules struct {
		Groups []any `yaml:"groups"`
	}
	var recorded []map[string]string
	for _, name := range slices.Sorted(maps.Keys(exprs)) {
		checkExpression(t, name, exprs[name], served)
		recorded = append(recorded, map[string]string{"record": fmt.Sprintf("panel:%d", len(recorded)), "expr": values.Replace(exprs[name])})
	}
	rules.Groups = append(rules.Groups, map[string]any{"name": "panels", "rules": recorded})
	b, err := yaml.Marshal(rules)
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", write(t, "panels.yml", string(b)))
}

// TestSystemdUnit: systemd reads the unit, finds little that could be confined further, and gives the
// server the time that it may take to end.
func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	unit := string(deployed(t, "systemd/nearby.service"))
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)s$`).FindStringSubmatch(unit)
	if m == nil {
		t.Fatal("the unit has no TimeoutStopSec")
	}
	checkGrace(t, "the unit", m[1]+"s", nil)
	for _, m := range regexp.MustCompile(`\b(NEARBY_[A-Z_]+)`).FindAllStringSubmatch(unit, -1) {
		if !flagsOf(t)["serve"][m[1]] {
			t.Errorf("the unit sets %s, which is the variable of no flag", m[1])
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed; Debian: apt-get install systemd")
	}
	file := write(t, "nearby.service", strings.ReplaceAll(unit, "/usr/local/bin/nearby", program))
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", file).CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// The exposure is 0 to 100; systemd calls less than 20 safe.
	if out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=yes", "--threshold=19", "--no-pager", file).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// checkGrace: who ends a server waits longer than it may take.
func checkGrace(t *testing.T, who, grace string, environment map[string]string) {
	t.Helper()
	defaults := map[string]string{"NEARBY_DRAIN_DELAY": "0s", "NEARBY_SHUTDOWN_TIMEOUT": "30s", "NEARBY_COMMIT_TIMEOUT": "30s"}
	maps.Copy(defaults, environment)
	var sum time.Duration
	for _, name := range []string{"NEARBY_DRAIN_DELAY", "NEARBY_SHUTDOWN_TIMEOUT", "NEARBY_COMMIT_TIMEOUT"} {
		d, err := time.ParseDuration(defaults[name])
		if err != nil {
			t.Fatal(err)
		}
		sum += d
	}
	if d, err := time.ParseDuration(grace); err != nil || d <= sum {
		t.Errorf("%s kills the server after %s (%v), and that may take %v to end", who, grace, err, sum)
	}
}

// These are the objects of Kubernetes that deploy/kubernetes has, with the fields that it uses. A
// field that is not here is refused, so a name that is misspelt is, too.
type (
	objectMeta struct {
		Name                string
		Labels, Annotations map[string]string
	}
	selector struct {
		MatchLabels map[string]string `yaml:"matchLabels"`
	}
	probe struct {
		HTTPGet          struct{ Path, Port string } `yaml:"httpGet"`
		PeriodSeconds    int                         `yaml:"periodSeconds"`
		TimeoutSeconds   int                         `yaml:"timeoutSeconds"`
		FailureThreshold int                         `yaml:"failureThreshold"`
	}
	container struct {
		Name, Image string
		Args        []string
		Env         []struct {
			Name, Value string
			ValueFrom   struct {
				FieldRef struct {
					FieldPath string `yaml:"fieldPath"`
				} `yaml:"fieldRef"`
				SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
			} `yaml:"valueFrom"`
		}
		Ports []struct {
			Name          string
			ContainerPort int `yaml:"containerPort"`
		}
		LivenessProbe   *probe `yaml:"livenessProbe"`
		ReadinessProbe  *probe `yaml:"readinessProbe"`
		Resources       struct{ Requests, Limits map[string]string }
		SecurityContext struct {
			AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
			Capabilities             struct{ Drop []string }
		} `yaml:"securityContext"`
		VolumeMounts []struct {
			Name      string
			MountPath string `yaml:"mountPath"`
		} `yaml:"volumeMounts"`
	}
	podSpec struct {
		EnableServiceLinks            *bool `yaml:"enableServiceLinks"`
		AutomountServiceAccountToken  *bool `yaml:"automountServiceAccountToken"`
		TerminationGracePeriodSeconds int   `yaml:"terminationGracePeriodSeconds"`
		SecurityContext               struct {
			RunAsNonRoot        bool                  `yaml:"runAsNonRoot"`
			RunAsUser           int                   `yaml:"runAsUser"`
			RunAsGroup          int                   `yaml:"runAsGroup"`
			FSGroup             int                   `yaml:"fsGroup"`
			FSGroupChangePolicy string                `yaml:"fsGroupChangePolicy"`
			SeccompProfile      struct{ Type string } `yaml:"seccompProfile"`
		} `yaml:"securityContext"`
		TopologySpreadConstraints []struct {
			TopologyKey       string   `yaml:"topologyKey"`
			MaxSkew           int      `yaml:"maxSkew"`
			WhenUnsatisfiable string   `yaml:"whenUnsatisfiable"`
			LabelSelector     selector `yaml:"labelSelector"`
		} `yaml:"topologySpreadConstraints"`
		Containers []container
	}
	workload struct {
		ServiceName string `yaml:"serviceName"`
		Replicas    int
		Selector    selector
		Strategy    struct {
			Type          string
			RollingUpdate struct {
				MaxSurge       int `yaml:"maxSurge"`
				MaxUnavailable int `yaml:"maxUnavailable"`
			} `yaml:"rollingUpdate"`
		}
		ProgressDeadlineSeconds int `yaml:"progressDeadlineSeconds"`
		Template                struct {
			Metadata objectMeta
			Spec     podSpec
		}
		VolumeClaimTemplates []struct {
			Metadata objectMeta
			Spec     struct {
				AccessModes []string `yaml:"accessModes"`
				Resources   struct{ Requests map[string]string }
			}
		} `yaml:"volumeClaimTemplates"`
	}
	service struct {
		Selector map[string]string
		Ports    []struct {
			Name       string
			Port       int
			TargetPort string `yaml:"targetPort"`
		}
	}
	disruptionBudget struct {
		MaxUnavailable *int `yaml:"maxUnavailable"`
		Selector       selector
	}
	object[S any] struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   objectMeta
		Spec       S
	}
)

// strictly reads an object, and nothing that its type does not have.
func strictly[S any](t *testing.T, text []byte, apiVersion string) S {
	t.Helper()
	var o object[S]
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&o); err != nil {
		t.Fatal(err)
	}
	if o.APIVersion != apiVersion || o.Metadata.Name != "nearby" {
		t.Errorf("%s %s is %s, not %s", o.Kind, o.Metadata.Name, o.APIVersion, apiVersion)
	}
	return o.Spec
}

// TestKubernetes: the manifests have no field that is misspelt, what is selected is there, the flags
// are the server's, the probes ask what is meant for them, and a pod has the time that it needs.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"replicas.yaml", "folder.yaml"} {
		t.Run(name, func(t *testing.T) {
			var w workload
			var s service
			var b disruptionBudget
			for _, text := range bytes.Split(deployed(t, "kubernetes/"+name), []byte("\n---\n")) {
				var head struct{ Kind string }
				if err := yaml.Unmarshal(text, &head); err != nil {
					t.Fatal(err)
				}
				switch head.Kind {
				case "Deployment", "StatefulSet":
					w = strictly[workload](t, text, "apps/v1")
				case "Service":
					s = strictly[service](t, text, "v1")
				case "PodDisruptionBudget":
					b = strictly[disruptionBudget](t, text, "policy/v1")
				default:
					t.Errorf("a %s", head.Kind)
				}
			}
			pod := w.Template
			for what, selects := range map[string]map[string]string{
				"the workload": w.Selector.MatchLabels, "the service": s.Selector, "the budget": b.Selector.MatchLabels,
			} {
				if len(selects) == 0 || !maps.Equal(selects, pod.Metadata.Labels) {
					t.Errorf("%s selects %v, the pod has %v", what, selects, pod.Metadata.Labels)
				}
			}
			if len(pod.Spec.Containers) != 1 {
				t.Fatalf("%d containers", len(pod.Spec.Containers))
			}
			c := pod.Spec.Containers[0]
			environment := map[string]string{}
			for _, e := range c.Env {
				environment[e.Name] = e.Value
				if !flagsOf(t)["serve"][e.Name] && e.Name != "PGPASSWORD" {
					t.Errorf("%s is the variable of no flag", e.Name)
				}
			}
			checkGrace(t, "Kubernetes", fmt.Sprintf("%ds", pod.Spec.TerminationGracePeriodSeconds), environment)
			ports := map[string]string{}
			for _, p := range c.Ports {
				ports[p.Name] = fmt.Sprintf("0.0.0.0:%d", p.ContainerPort)
			}
			if environment["NEARBY_ADDR"] != ports["http"] || environment["NEARBY_METRICS_ADDR"] != ports["metrics"] || !strings.HasSuffix(ports["metrics"], ":"+pod.Metadata.Annotations["prometheus.io/port"]) {
				t.Errorf("the server listens on %v, the ports are %v", environment, ports)
			}
			if s.Ports[0].TargetPort != "http" || c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.ReadinessProbe.HTTPGet.Port != "http" {
				t.Errorf("the service leads to %v, the probes are %+v and %+v", s.Ports, c.LivenessProbe, c.ReadinessProbe)
			}
			// While a pod is drained for that long, it must be seen not to be ready.
			if probe := c.ReadinessProbe; environment["NEARBY_DRAIN_DELAY"] != "" {
				if d, err := time.ParseDuration(environment["NEARBY_DRAIN_DELAY"]); err != nil || d <= time.Duration(probe.PeriodSeconds*probe.FailureThreshold)*time.Second {
					t.Errorf("a pod is drained for %v (%v), and asked less often", d, err)
				}
			}
			if *pod.Spec.EnableServiceLinks || *pod.Spec.AutomountServiceAccountToken || !pod.Spec.SecurityContext.RunAsNonRoot ||
				*c.SecurityContext.AllowPrivilegeEscalation || !c.SecurityContext.ReadOnlyRootFilesystem || !slices.Equal(c.SecurityContext.Capabilities.Drop, []string{"ALL"}) {
				t.Errorf("the pod has more rights than it needs: %+v", pod.Spec)
			}
			if c.Resources.Limits["memory"] == "" || c.Resources.Limits["memory"] != c.Resources.Requests["memory"] {
				t.Errorf("memory: %+v", c.Resources)
			}
			if single := environment["NEARBY_STORE"] == ""; single != (w.Replicas == 1) || single != (*b.MaxUnavailable == 0) || single != (len(w.VolumeClaimTemplates) == 1) {
				t.Errorf("%d replicas, of which %d may be away", w.Replicas, *b.MaxUnavailable)
			}
		})
	}
}
