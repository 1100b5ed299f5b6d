package zim_test

import (
	"go/types"
	"os"
	"regexp"
	"strings"
	"testing"
)

const notYet = "not yet"

// readMapping returns the rows of the tables in docs/mapping.md by section: the cells, without the header.
func readMapping(t *testing.T) map[string][][]string {
	t.Helper()
	page, err := os.ReadFile("docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string][][]string{}
	section := ""
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "## "); ok {
			section = name
		} else if strings.HasPrefix(line, "|") {
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			tables[section] = append(tables[section], cells)
		}
	}
	for section, rows := range tables {
		if len(rows) < 3 || !strings.HasPrefix(rows[1][0], "---") {
			t.Fatalf("%s: the table has no header or no rows", section)
		}
		for _, row := range rows {
			if len(row) != len(rows[0]) {
				t.Fatalf("%s: %d cells in %v, want %d", section, len(row), row, len(rows[0]))
			}
		}
		tables[section] = rows[2:]
	}
	return tables
}

var backticked = regexp.MustCompile("`([^`]+)`")

// checkRows checks that the first cells of rows are documented, each once and none missing, and that the second cells tell
// what is in the package. byRule returns the names that a documented name would have there, as a T.
func checkRows[T types.Object](
	t *testing.T, src *source, rows [][]string, documented []string, byRule func(name string) []string,
) {
	t.Helper()
	want := map[string]bool{}
	for _, name := range documented {
		want["`"+name+"`"] = true
	}
	// A row of an overloaded method may be "not yet" while another one of the same method has the name.
	named := map[[2]string]bool{}
	for _, row := range rows {
		for _, m := range backticked.FindAllStringSubmatch(row[1], -1) {
			named[[2]string{overloaded(row[0]), m[1]}] = true
		}
	}
	for _, row := range rows {
		if !want[row[0]] {
			t.Errorf("%s: not documented, or more than once in the table", row[0])
		}
		delete(want, row[0])
		if row[1] != notYet {
			names := backticked.FindAllStringSubmatch(row[1], -1)
			if len(names) == 0 {
				t.Errorf("%s: no Go name in %q", row[0], row[1])
			}
			for _, m := range names {
				if src.lookup(m[1]) == nil {
					t.Errorf("%s: the package has no %s", row[0], m[1])
				}
			}
			continue
		}
		for _, name := range byRule(strings.Trim(row[0], "`")) {
			if found := lookupFold[T](src, name); found != "" && !named[[2]string{overloaded(row[0]), found}] {
				t.Errorf("%s: %q, but the package has %s", row[0], notYet, found)
			}
		}
	}
	for name := range want {
		t.Errorf("%s: missing", name)
	}
}

// checkTransports checks the last two cells of rows, which say where something works.
func checkTransports(t *testing.T, rows [][]string) {
	t.Helper()
	for _, row := range rows {
		works := 0
		for i, cell := range row[2:] {
			cloud := i == 1
			switch {
			case cell == "yes", cell == "partly" && cloud:
				works++
			case cell == notYet, cell == "no" && cloud:
			default:
				t.Errorf("%s: got %q, want yes, %s or, for the cloud, partly or no", row[0], cell, notYet)
			}
		}
		if built := row[1] != notYet; built != (works > 0) {
			t.Errorf("%s: Go is %q, but it works over %d transports", row[0], row[1], works)
		}
	}
}

// lookupFold returns the name of the exported T that has the name whatever the case of its letters, so that initialisms
// (AvatarUrl, AvatarURL) make no difference.
func lookupFold[T types.Object](src *source, name string) string {
	scope, prefix := src.scope.Names(), ""
	if recv, method, ok := strings.Cut(name, "."); ok {
		scope, prefix, name = nil, recv+".", method
		if obj := src.lookup(recv); obj != nil {
			for m := range types.NewMethodSet(types.NewPointer(obj.Type())).Methods() {
				scope = append(scope, m.Obj().Name())
			}
		}
	}
	for _, found := range scope {
		if strings.EqualFold(found, name) {
			if _, ok := src.lookup(prefix + found).(T); ok {
				return prefix + found
			}
		}
	}
	return ""
}

// overloaded returns a documented name without its parameters.
func overloaded(name string) string {
	name, _, _ = strings.Cut(strings.Trim(name, "`"), "(")
	return name
}

func upperCamel(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func TestMappingMethods(t *testing.T) {
	src, rows := readSource(t), readMapping(t)["Methods"]
	methods := readTSV(t, "methods.tsv")
	count := map[string]int{}
	for _, m := range methods {
		count[m[1]]++
	}
	var documented []string
	params := regexp.MustCompile(`(\w+)\??: `)
	for _, m := range methods {
		name := m[1]
		if count[name] > 1 {
			var names []string
			for _, p := range params.FindAllStringSubmatch(m[2], -1) {
				names = append(names, p[1])
			}
			name += "(" + strings.Join(names, ", ") + ")"
		}
		documented = append(documented, name)
	}
	if len(documented) != 147 {
		t.Errorf("%d methods are documented, want 147", len(documented))
	}
	checkRows[*types.Func](t, src, rows, documented, func(name string) []string {
		name = upperCamel(overloaded(name))
		return []string{"ZIM." + name, name}
	})
	checkTransports(t, rows)
}

func TestMappingEvents(t *testing.T) {
	src, rows := readSource(t), readMapping(t)["Events"]
	var documented []string
	for _, e := range readTSV(t, "events.tsv") {
		documented = append(documented, e[0])
	}
	if len(documented) != 60 {
		t.Errorf("%d events are documented, want 60", len(documented))
	}
	checkRows[*types.TypeName](t, src, rows, documented, func(name string) []string { return []string{upperCamel(name)} })
	checkTransports(t, rows)
}

func TestMappingEnums(t *testing.T) {
	src, rows := readSource(t), readMapping(t)["Enums"]
	documented := []string{"ZIMErrorCode"}
	for typ := range documentedConsts(t) {
		if typ != "Code" {
			documented = append(documented, "ZIM"+typ)
		}
	}
	withoutZIM := func(name string) []string { return []string{strings.TrimPrefix(name, "ZIM")} }
	checkRows[*types.TypeName](t, src, rows, documented, withoutZIM)
}

func TestMappingCodes(t *testing.T) {
	src, rows := readSource(t), readMapping(t)["Codes"]
	want := map[string]bool{"6000231 number only `" + bannedCode + "`": true}
	for _, e := range readTSV(t, "errors.tsv") {
		want[e[1]+" `"+e[0]+"` `"+goCode(e[0])+"`"] = true
	}
	for _, row := range rows {
		if key := strings.Join(row, " "); !want[key] {
			t.Errorf("%v: not documented so, or more than once in the table", row)
		} else {
			delete(want, key)
		}
		if name := strings.Trim(row[2], "`"); src.lookup(name) == nil {
			t.Errorf("%s: the package has no %s", row[0], name)
		}
	}
	for key := range want {
		t.Errorf("%s: missing", key)
	}
}

func TestMappingStructs(t *testing.T) {
	src, rows := readSource(t), readMapping(t)["Structs"]
	seen := map[string]bool{}
	var documented []string
	for _, s := range readTSV(t, "structs.tsv") {
		if !seen[s[0]] {
			seen[s[0]] = true
			documented = append(documented, s[0])
		}
	}
	if len(documented) != 343 {
		t.Errorf("%d structs are documented, want 343", len(documented))
	}
	// What an event brings has the event's name.
	events := map[string][]string{}
	for _, e := range readTSV(t, "events.tsv") {
		events[e[1]] = append(events[e[1]], upperCamel(e[0]))
	}
	checkRows[*types.TypeName](t, src, rows, documented, func(name string) []string {
		return append(events[name], strings.TrimPrefix(name, "ZIM"))
	})
}
