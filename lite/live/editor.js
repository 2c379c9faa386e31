// The code editor of a cell. This file and CodeMirror form the heavy bundle that only loads when a reader
// starts Python or has edits to show.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { EditorState, Prec } from "@codemirror/state";
import { EditorView, drawSelection, highlightSpecialChars, keymap } from "@codemirror/view";
import { tagHighlighter, tags } from "@lezer/highlight";

// Class names instead of colours: live.css gives each theme its palette, so a theme switch needs no script.
const highlighter = tagHighlighter([
  { tag: [tags.keyword, tags.operatorKeyword, tags.controlKeyword, tags.definitionKeyword], class: "tt-k" },
  { tag: [tags.bool, tags.null, tags.self], class: "tt-c" },
  { tag: [tags.string, tags.special(tags.string), tags.character], class: "tt-s" },
  { tag: [tags.number], class: "tt-n" },
  { tag: [tags.operator], class: "tt-o" },
  { tag: [tags.comment], class: "tt-m" },
  { tag: [tags.function(tags.definition(tags.variableName)), tags.definition(tags.className)], class: "tt-f" },
  { tag: [tags.meta], class: "tt-d" },
]);

/**
 * Put an editor into `parent`.
 *
 * onChange(text) is called after every edit; onRun(moveOn) on Ctrl/Cmd-Enter (false) and Shift-Enter (true).
 * Tab indents; Escape and then Tab leaves the editor, which is CodeMirror's own rule and is said in the label.
 */
export function createEditor({ parent, text, label, onChange, onRun }) {
  const runKeys = Prec.highest(
    keymap.of([
      { key: "Shift-Enter", run: () => (onRun(true), true) },
      { key: "Mod-Enter", run: () => (onRun(false), true) },
    ]),
  );
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        runKeys,
        highlightSpecialChars(),
        history(),
        drawSelection(),
        indentUnit.of("    "),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        // Completion of local names and keywords only appears when asked for: a popup on every key is noise
        // to a reader who is learning, and to a screen reader.
        autocompletion({ activateOnTyping: false }),
        python(),
        syntaxHighlighting(highlighter),
        keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...defaultKeymap, indentWithTab]),
        EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0", spellcheck: "false", translate: "no" }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) onChange(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    focus: () => view.focus(),
    text: () => view.state.doc.toString(),
    replace(next) {
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next } });
    },
  };
}
