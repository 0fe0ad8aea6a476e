// Counts and figures of predictions, recomputed for whatever the filters let through.
(function (hs) {
  // For each class how often it was found, claimed wrongly, missed, and how many it has. `accepts` says which
  // predictions stand: one that does not counts as missed, and as claimed by nobody.
  hs.countClasses = (run, places, accepts = () => true) => {
    const n = run.classes.length;
    const counts = {
      hits: new Uint32Array(n),
      false: new Uint32Array(n),
      missed: new Uint32Array(n),
      support: new Uint32Array(n),
    };
    for (const place of places) {
      const [label, said] = [run.label[place], run.prediction[place]];
      counts.support[label] += 1;
      const isAccepted = accepts(place);
      if (isAccepted && label === said) counts.hits[label] += 1;
      else {
        counts.missed[label] += 1;
        if (isAccepted) counts.false[said] += 1;
      }
    }
    return counts;
  };

  const ratio = (part, whole) => (whole ? part / whole : NaN);

  hs.classScores = (hits, wrong, missed) => {
    const [precision, recall] = [ratio(hits, hits + wrong), ratio(hits, hits + missed)];
    return { precision, recall, f1: ratio(2 * hits, 2 * hits + wrong + missed) };
  };

  // Means over the classes that have samples or predictions; a precision of none said counts as 0.
  hs.macro = (counts) => {
    const sums = { precision: 0, recall: 0, f1: 0 };
    let n = 0;
    for (let code = 0; code < counts.support.length; code += 1) {
      if (!counts.support[code] && !counts.false[code]) continue;
      n += 1;
      const scores = hs.classScores(counts.hits[code], counts.false[code], counts.missed[code]);
      for (const name of Object.keys(sums)) sums[name] += scores[name] || 0;
    }
    return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, ratio(sum, n)]));
  };

  // Everything a threshold decides when predictions below it are withheld.
  hs.abstaining = (run, places, threshold, costs) => {
    const { confidence } = run;
    const limit = Math.fround(threshold); // confidences are float32: 0.9 must not stand above itself
    const counts = hs.countClasses(run, places, (place) => confidence[place] >= limit);
    const hits = sum(counts.hits);
    const wrong = sum(counts.false);
    const answered = hits + wrong;
    const withheld = places.length - answered;
    return {
      ...hs.macro(counts),
      accuracy: ratio(hits, answered),
      coverage: ratio(answered, places.length),
      hits,
      wrong,
      withheld,
      cost: wrong * costs.wrong + withheld * costs.abstention,
    };
  };

  // The same where one class is said from a threshold on its own probability.
  hs.detecting = (run, places, code, threshold, costs) => {
    const counts = { hits: 0, wrong: 0, missed: 0, rest: 0 };
    const limit = run.scale === 1 ? Math.fround(threshold) : threshold;
    for (const place of places) {
      const isSaid = run.probability(place, code) >= limit;
      if (run.hasClass(place, code)) counts[isSaid ? "hits" : "missed"] += 1;
      else counts[isSaid ? "wrong" : "rest"] += 1;
    }
    const { hits, wrong, missed, rest } = counts;
    return {
      ...hs.classScores(hits, wrong, missed),
      accuracy: ratio(hits + rest, places.length),
      coverage: ratio(hits + wrong, places.length),
      ...counts,
      cost: wrong * costs.falsePositive + missed * costs.falseNegative,
    };
  };

  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

  // Scores in steps of 1/500 with what stands at and above each: [{threshold, above: [..]}], for curves.
  hs.STEPS = 500;
  hs.tallied = (places, scoreOf, kindOf, kinds) => {
    const above = Array.from({ length: hs.STEPS + 2 }, () => new Float64Array(kinds));
    for (const place of places)
      above[Math.max(0, Math.min(hs.STEPS, Math.floor(scoreOf(place) * hs.STEPS + 1e-6)))][kindOf(place)] += 1;
    for (let step = hs.STEPS - 1; step >= 0; step -= 1)
      for (let kind = 0; kind < kinds; kind += 1) above[step][kind] += above[step + 1][kind];
    return above;
  };

  // Confidence against accuracy in bins of equal width whose upper edge is included, after Guo et al. (2017).
  hs.reliability = (run, places, bins) => {
    const found = Array.from({ length: bins }, () => ({ n: 0, hits: 0, confidence: 0 }));
    for (const place of places) {
      const confidence = run.confidence[place];
      if (Number.isNaN(confidence)) continue;
      const bin = found[Math.max(0, Math.min(bins - 1, Math.ceil(confidence * bins) - 1))];
      bin.n += 1;
      bin.confidence += confidence;
      if (run.label[place] === run.prediction[place]) bin.hits += 1;
    }
    const total = sum(found.map(({ n }) => n));
    const ece = ratio(sum(found.map(({ n, hits, confidence }) => (n ? Math.abs(hits - confidence) : 0))), total);
    return { bins: found.map((bin, i) => ({ ...bin, from: i / bins, to: (i + 1) / bins })), ece, total };
  };
})(headstart);
