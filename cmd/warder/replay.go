package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/app"
	"github.com/warderhq/warder/internal/policy"
)

type replayCmd struct {
	File   string `arg:"" help:"Events, one JSON object per line, oldest first; - for standard input."`
	Policy string `help:"Policy file (default the preset)." placeholder:"FILE"`
	Preset string `help:"Preset to use without --policy." default:"classic"`
}

func (c *replayCmd) Run(ctx context.Context, e *env) error {
	doc, err := c.document(e)
	if err != nil {
		return err
	}
	from, done, err := e.open(c.File)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer done()
	result, err := app.Replay(ctx, doc, from)
	if err != nil {
		return err
	}
	if err := e.print(result, func(w io.Writer) { printReplay(w, result) }); err != nil {
		return err
	}
	if result.Bad > 0 {
		return &faultsError{where: c.File, faults: result.Faults}
	}
	return nil
}

func (c *replayCmd) document(e *env) (*policy.Document, error) {
	if c.Policy == "" {
		return policy.Preset(c.Preset)
	}
	doc, _, err := readPolicy(e, c.Policy)
	return doc, err
}

func printReplay(w io.Writer, r *app.Replayed) {
	for _, x := range r.Crossings {
		_, _ = fmt.Fprintf(w, "%s  line %d  rule %s  %d hits  %s\n", x.Time.Format(time.RFC3339), x.Line, x.Rule, x.Count, outcome(&x))
	}
	var graded []string
	for _, s := range []warder.Severity{warder.Info, warder.Warning, warder.High, warder.Critical} {
		graded = append(graded, fmt.Sprintf("%d %s", r.Severities[s.String()], s))
	}
	_, _ = fmt.Fprintf(w, "%d events (%s), %d crossings, %d would have been refused", r.Events, strings.Join(graded, ", "), len(r.Crossings), r.Refused)
	if r.Bad > 0 {
		_, _ = fmt.Fprintf(w, ", %d bad lines", r.Bad)
	}
	if r.Own > 0 {
		_, _ = fmt.Fprintf(w, ", %d of Warder's own passed over", r.Own)
	}
	_, _ = fmt.Fprintln(w)
}

// outcome says in words what a crossing leads to.
func outcome(x *app.ReplayedCross) string {
	text := fmt.Sprintf("%s of %s", x.Action, subjectText(x.Subject))
	if x.Duration == 0 {
		text += " until lifted"
	} else {
		text += " for " + (time.Duration(x.Duration) * time.Second).String()
	}
	var notes []string
	if x.Observed {
		notes = append(notes, "only observed")
	}
	if x.Cut != "" {
		notes = append(notes, "cut short: "+x.Cut)
	}
	if x.Spared != "" {
		notes = append(notes, "not blocked: "+x.Spared)
	}
	if len(x.Also) > 0 {
		also := slices.Clone(x.Also)
		slices.Sort(also)
		notes = append(notes, "also "+strings.Join(also, ", "))
	}
	if len(notes) > 0 {
		text += " (" + strings.Join(notes, "; ") + ")"
	}
	return text
}
