// What the page holds, read once: columns, samples, runs and queues over typed arrays.
(function (hs) {
  const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };
  const NONE = { uint8: 0xff, uint16: 0xffff, uint32: 0xffffffff };
  const NOT_THERE = 0xffffffff;

  function bytesOf(base64) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
    return bytes;
  }

  hs.decode = (packed) => (packed ? new ARRAYS[packed.dtype](bytesOf(packed.b64).buffer) : null);

  // Arrays are decoded when a view first asks: a page of a million samples opens without most of them.
  function lazily(make) {
    let made;
    return () => (made === undefined ? (made = make()) : made);
  }

  class Column {
    constructor(given, n) {
      this.name = given.name;
      this.title = given.title || given.name;
      this.isCategory = given.kind === "category";
      this.names = given.names || [];
      this.n = n;
      this.readCodes = lazily(() => this.cleanCodes(given.codes));
      this.readValues = lazily(() => hs.decode(given.values));
      this.range = lazily(() => this.findRange());
    }

    // Codes with one code for "none" that comes right behind the last name: an index into tables of names + 1.
    cleanCodes(packed) {
      const codes = hs.decode(packed);
      const none = this.names.length;
      if (none >= NONE[packed.dtype]) return codes;
      for (let i = 0; i < codes.length; i += 1) if (codes[i] > none) codes[i] = none;
      return codes;
    }

    get codes() {
      return this.readCodes();
    }

    get values() {
      return this.readValues();
    }

    // A category's name, or null.
    nameOf(row) {
      const name = this.names[this.codes[row]];
      return name === undefined ? null : name;
    }

    say(row) {
      if (this.isCategory) return this.nameOf(row) ?? "–";
      const value = this.values[row];
      return Number.isNaN(value) ? "–" : hs.number(value);
    }

    nameAt(code) {
      return code < this.names.length ? this.names[code] : "none";
    }

    findRange() {
      let low = Infinity;
      let high = -Infinity;
      for (const value of this.values) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
      return low <= high ? [low, high] : [0, 0];
    }
  }

  class Run {
    // `labels` are those of the samples as text, where the page has them as text.
    constructor(given, samples, labels) {
      this.name = given.name;
      this.task = given.task;
      this.classes = given.classes || [];
      this.figures = given.figures || [];
      this.slices = given.slices || [];
      this.curves = given.curves || [];
      this.said = given.said || null;
      this.expected = given.expected || null;
      this.rows = hs.decode(given.rows) || new Uint32Array(0);
      this.label = hs.decode(given.label);
      this.prediction = hs.decode(given.prediction);
      this.isSingle = Boolean(this.label && this.prediction && this.classes.length);
      this.readProbabilities = lazily(() => hs.decode(given.probabilities));
      this.scale = given.probabilities && given.probabilities.dtype === "uint8" ? 1 / 255 : 1;
      this.hasProbabilities = Boolean(given.probabilities);
      this.readConfidence = lazily(() => hs.decode(given.confidence) || this.likeliest());
      this.places = lazily(() => placesOf(this.rows, samples));
      this.isMulti = this.task === "multi" && this.hasProbabilities && labels !== null;
      this.labelled = (place) =>
        this.isSingle ? this.label[place] < this.classes.length : labels[this.rows[place]] !== "";
      this.readSets = lazily(() => this.labelSets(labels));
    }

    // Whether a sample has a class: one of several, where the run is of several.
    hasClass(place, code) {
      return this.isSingle ? this.label[place] === code : this.readSets()[place * this.classes.length + code] === 1;
    }

    labelSets(labels) {
      const width = this.classes.length;
      const codes = new Map(this.classes.map((name, code) => [name, code]));
      const sets = new Uint8Array(this.rows.length * width);
      this.rows.forEach((row, place) => {
        for (const name of hs.listedLabels(labels[row]) || []) {
          if (codes.has(name)) sets[place * width + codes.get(name)] = 1;
        }
      });
      return sets;
    }

    // The place of a sample among the predictions, or -1.
    placeOf(row) {
      const place = this.places()[row];
      return place === NOT_THERE ? -1 : place;
    }

    probability(place, code) {
      return this.readProbabilities()[place * this.classes.length + code] * this.scale;
    }

    get confidence() {
      return this.readConfidence();
    }

    // The probability of what was predicted, where the page has all probabilities.
    likeliest() {
      if (!this.hasProbabilities || !this.isSingle) return null;
      return Float32Array.from(this.prediction, (code, place) =>
        code < this.classes.length ? this.probability(place, code) : NaN,
      );
    }

    // Classes with their probabilities for one sample, likeliest first.
    ranking(place) {
      if (place < 0 || !this.isSingle) return [];
      if (!this.hasProbabilities) {
        const code = this.prediction[place];
        const share = this.confidence ? this.confidence[place] : NaN;
        return code < this.classes.length ? [{ code, name: this.classes[code], share }] : [];
      }
      return this.classes
        .map((name, code) => ({ code, name, share: this.probability(place, code) }))
        .sort((a, b) => b.share - a.share);
    }
  }

  function placesOf(rows, n) {
    const places = new Uint32Array(n).fill(NOT_THERE);
    for (let place = 0; place < rows.length; place += 1) places[rows[place]] = place;
    return places;
  }

  // The classes in a label of several, which is written as a JSON list; null if it is none.
  hs.listedLabels = (text) => {
    try {
      const value = JSON.parse(text || "null");
      return Array.isArray(value) ? value.map(String) : null;
    } catch {
      return null;
    }
  };

  class Queue {
    constructor(given) {
      Object.assign(this, { name: given.name, title: given.title, about: given.about || "" });
      this.rows = hs.decode(given.rows) || new Uint32Array(0);
      this.other = hs.decode(given.other);
      this.suggested = given.suggested || null;
      this.score = hs.decode(given.score);
      this.scoreTitle = given.score_title || "score";
      this.found = given.n ?? this.rows.length;
    }
  }

  hs.Model = class Model {
    constructor(raw) {
      const samples = raw.samples || { n: 0, ids: [], columns: [] };
      Object.assign(this, { kind: raw.kind, title: raw.title || "", about: raw.about || [], notes: raw.notes || [] });
      Object.assign(this, {
        version: raw.version || "",
        created: raw.created || "",
        comparison: raw.comparison || null,
      });
      this.set = raw.set || null;
      this.labelInfo = raw.label || null;
      this.n = samples.n;
      this.ids = samples.ids;
      this.texts = samples.texts || null;
      this.labels = samples.labels || null;
      this.columns = (samples.columns || []).map((column) => new Column(column, this.n));
      this.readKeys = lazily(() => hs.decode(samples.keys));
      this.thumbs = samples.thumbs || null;
      this.thumbPlaces = lazily(() => (this.thumbs ? placesOf(hs.decode(this.thumbs.rows), this.n) : null));
      this.points = raw.points || null;
      this.near = raw.neighbours || null;
      this.readNear = lazily(() => this.decodeNear());
      this.runs = (raw.runs || []).map((run) => new Run(run, this.n, this.labels));
      this.queues = (raw.queues || []).map((queue) => new Queue(queue));
      this.kept = new Set((raw.matters && raw.matters.kept) || []);
    }

    column(name) {
      return this.columns.find((column) => column.name === name) || null;
    }

    // The sample's label as corrections.csv writes it, "" without one.
    label(row) {
      if (this.labels) return this.labels[row] || "";
      const column = this.column("label");
      return (column && column.isCategory && column.nameOf(row)) || "";
    }

    // What a run says of the sample, as text; null if it says nothing.
    prediction(row, run = this.runs[0]) {
      if (!run) return null;
      const place = run.placeOf(row);
      if (place < 0) return null;
      if (run.isSingle) return run.classes[run.prediction[place]] ?? null;
      return run.said ? run.said[place] : null;
    }

    text(row) {
      return this.texts ? this.texts[row] || "" : "";
    }

    thumb(row) {
      if (!this.thumbs) return null;
      const place = this.thumbPlaces()[row];
      return place === NOT_THERE ? null : this.thumbs.images[place] || null;
    }

    key(row) {
      const keys = this.readKeys();
      return keys
        ? Array.from(keys.subarray(row * 16, row * 16 + 16), (byte) => byte.toString(16).padStart(2, "0")).join("")
        : "";
    }

    decodeNear() {
      if (!this.near) return null;
      const rows = hs.decode(this.near.rows);
      const near = hs.decode(this.near.near);
      const width = rows.length ? near.length / rows.length : 0;
      return { places: placesOf(rows, this.n), near, cosine: hs.decode(this.near.cosine), width };
    }

    // The nearest training samples of a sample: [{row, cosine}], nearest first.
    neighbours(row) {
      const all = this.readNear();
      if (!all || all.places[row] === NOT_THERE) return [];
      const start = all.places[row] * all.width;
      return Array.from({ length: all.width }, (_, i) => ({
        row: all.near[start + i],
        cosine: all.cosine ? all.cosine[start + i] : NaN,
      })).filter((found) => found.row < this.n);
    }
  };
})(headstart);
