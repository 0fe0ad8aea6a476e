// What the user decided about samples, in memory only; as corrections.csv when it is downloaded.
(function (hs) {
  const HEADER = ["key", "id", "label", "old", "new", "action", "note", "digest"];

  hs.ACTIONS = { keep: "Keep", relabel: "Relabel", drop: "Drop", unsure: "Unsure" };

  hs.Decisions = class Decisions {
    constructor() {
      this.byRow = new Map(); // in the order in which they were made
      this.history = []; // [row, what stood there before]
      this.isSaved = true;
    }

    get size() {
      return this.byRow.size;
    }

    get(row) {
      return this.byRow.get(row) || null;
    }

    set(row, decision) {
      this.history.push([row, this.get(row)]);
      this.put(row, decision);
    }

    put(row, decision) {
      this.byRow.delete(row); // so that it comes last
      if (decision) this.byRow.set(row, decision);
      this.isSaved = this.byRow.size === 0;
    }

    // Takes back the last change; the row it was about, or null.
    undo() {
      const last = this.history.pop();
      if (!last) return null;
      this.put(...last);
      return last[0];
    }
  };

  // RFC 4180.
  const cell = (text) => (/[",\r\n]|^\s|\s$/u.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  hs.csvLine = (cells) => `${cells.map((text) => cell(String(text))).join(",")}\r\n`;

  hs.correctionsCsv = (model, decisions) => {
    const [label, digest] = [model.labelInfo ? model.labelInfo.column : "", model.set ? model.set.digest : ""];
    const lines = [...decisions.byRow].map(([row, { action, label: to, note }]) =>
      hs.csvLine([
        model.key(row),
        model.ids[row],
        label,
        model.label(row),
        action === "relabel" ? to : "",
        action,
        note || "",
        digest,
      ]),
    );
    return hs.csvLine(HEADER) + lines.join("");
  };

  hs.download = (name, text, type) => {
    const url = URL.createObjectURL(new Blob([text], { type }));
    hs.h("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };
})(headstart);
