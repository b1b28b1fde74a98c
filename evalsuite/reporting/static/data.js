// What Python packed into the page: gzipped JSON in base64, one chunk a <script type="text/plain">, read when it is needed.

/**
 * @typedef {object} RunInfo
 * @property {string} folder
 * @property {string} run its name on this page, which no other has
 * @property {string} id its own name, as reviews have it
 * @property {"retrieval"|"lab"} kind
 * @property {string} system
 * @property {string|null} role
 * @property {{name: string, version: string, sha256: string}} suite
 * @property {string|null} view
 * @property {string} protocol
 * @property {number} group
 * @property {string} status
 * @property {string|null} error
 * @property {string[]} notes
 */
/** @typedef {{kind: string, suite: string, version: string, sha256: string, view: string|null, protocol: string, runs: number[]}} Group */
/** @typedef {{run: number, measure: string, mean: number|null, low: number|null, high: number|null, p: number|null, p_corrected: number|null, n: number}} Twins oblique - literal */
/** @typedef {{group: number, mechanism: string|null, a: number, b: number, measure: string, mean: number|null, low: number|null, high: number|null, p: number|null, p_corrected: number|null}} Pair */
/** @typedef {{group: number, id: string, text: string|null, mechanism: string|null, cluster: string|null, twin_of: string|null, relevant: number|null}} QueryInfo */
/** @typedef {{n: number, run: number[], query: number[], values: Record<string, (number|null)[]>, judged: (number|null)[], missing: number[]}} QueryColumns */
/** @typedef {{n: number, run: number[], criterion: number[], trial: number[], verdict: number[], error_kind: number[], bits: number[], cause: number[], file: number[]}} VerdictColumns */
/** @typedef {{task: number[], id: string[], title: string[], critical: number[], contested: Record<number, string>}} CriterionColumns */
/** @typedef {{task: number, id: string, title: string, critical: boolean, contested: string|null}} CriterionInfo */
/**
 * @typedef {object} TrialInfo
 * @property {number} run
 * @property {number} task
 * @property {number} trial
 * @property {boolean|null} all_pass
 * @property {number} passed
 * @property {number} criteria
 * @property {number} errors
 * @property {string|null} problem
 * @property {string|null} stop_reason
 * @property {number} turns
 * @property {number} seconds
 * @property {Record<string, number>} tokens
 * @property {number|null} cost
 * @property {number} documents_read
 * @property {number} documents_total
 * @property {number} flags
 * @property {number} unsupported
 */
/**
 * @typedef {object} Review
 * @property {"review"} unit
 * @property {string} run
 * @property {string} task
 * @property {number} trial
 * @property {string} criterion
 * @property {string} unit_sha256
 * @property {"pass"|"fail"|"error"} machine
 * @property {"pass"|"fail"|"error"} verdict
 * @property {string} reason
 * @property {string} reviewer
 * @property {string} at
 */
/**
 * @typedef {object} Index
 * @property {string} created
 * @property {string} evalsuite
 * @property {boolean} served
 * @property {RunInfo[]} runs
 * @property {Group[]} groups
 * @property {Pair[]} pairs
 * @property {Twins[]} twins
 * @property {string[]} measures
 * @property {QueryColumns} queries
 * @property {QueryInfo[]} query_table
 * @property {Record<string, Record<string, number>>} docs
 * @property {VerdictColumns} verdicts
 * @property {string[]} error_kinds
 * @property {string[]} files
 * @property {string[]} causes
 * @property {{id: string, area: string}[]} tasks
 * @property {{verdict: Record<number, number>, bits: Record<number, number>, cause: Record<number, number>}} counts verdicts by what is in a column
 * @property {number[]} opening the rows shown first, whose criteria alone are in the index; none once `criteria` has all
 * @property {CriterionColumns} criteria
 * @property {TrialInfo[]} trials
 * @property {Review[]} reviews
 * @property {{queries: number, verdicts: number}} rows
 * @property {{deliverables: number, transcripts: number, documents: number, bytes: number, limit: number}} left_out
 */
/** @typedef {{judge: string, vote?: number, verdict: "pass"|"fail"|"error", error_kind?: string, reasoning?: string, quotes?: string[], seconds?: number, tokens?: Record<string, number>, cost?: number, cached?: boolean}} Vote */
/** @typedef {{votes: Vote[], share?: number|null, resolution_rule?: string|null, sha: string}} VerdictDetail */
/** @typedef {{top: [string, number, number|null][], missed: [string, number|null, number][]}} QueryDetail */
/** @typedef {{title: string|null, text: string, cut?: boolean}} Doc */
/** @typedef {{record: any, deliverables: {name: string, text: string|null, left_out: string|null}[], transcript: any[]|null, left_out: string|null}} TrialDetail */

/** @type {Map<string, Promise<any>>} */
const kept = new Map();
const KEPT = 60;

/**
 * A chunk's JSON. The last ones asked for are kept.
 * @param {string} name
 * @returns {Promise<any>}
 */
export function chunk(name) {
  const known = kept.get(name);
  if (known) return known;
  const found = inflate(name);
  kept.set(name, found);
  if (kept.size > KEPT) kept.delete(/** @type {string} */ (kept.keys().next().value));
  return found;
}

/**
 * The element of a chunk. All but the index stand after the script, and the browser may still be reading.
 * @param {string} name
 */
async function arrived(name) {
  for (;;) {
    const element = document.getElementById(`chunk-${name}`);
    if (element?.nextElementSibling || (element && document.readyState !== "loading")) return element;
    if (document.readyState !== "loading") throw new Error(`the page holds no chunk ${name}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** @param {string} name */
async function inflate(name) {
  const element = await arrived(name);
  const packed = atob(element.textContent ?? "");
  const bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
  const gunzip = new DecompressionStream("gzip");
  const writer = gunzip.writable.getWriter(); // a Blob's stream would let the browser's own reading go first
  const [text] = await Promise.all([new Response(gunzip.readable).text(), writer.write(bytes), writer.close()]);
  return JSON.parse(text);
}

/** @returns {Promise<Index>} */
export function loadIndex() {
  return chunk("index");
}

/**
 * Fill in the criteria that the index does not have.
 * @param {Index} index
 */
export async function loadCriteria(index) {
  if (!index.opening.length) return;
  index.criteria = await chunk("criteria");
  index.opening = [];
}

/**
 * The rows from `part` times `index.rows.verdicts` on, as many.
 * @param {number} part
 * @returns {Promise<VerdictDetail[]>}
 */
export function verdictDetails(part) {
  return chunk(`verdict-${part}`);
}

/**
 * @param {Index} index
 * @param {number} row
 * @returns {Promise<VerdictDetail>}
 */
export async function verdictDetail(index, row) {
  const rows = await verdictDetails(Math.floor(row / index.rows.verdicts));
  return rows[row % index.rows.verdicts];
}

/**
 * @param {Index} index
 * @param {number} row
 * @returns {Promise<QueryDetail>}
 */
export async function queryDetail(index, row) {
  const rows = await chunk(`query-${Math.floor(row / index.rows.queries)}`);
  return rows[row % index.rows.queries];
}

/**
 * A document of a corpus, or null where the page does not hold its text.
 * @param {Index} index
 * @param {string} suite sha256 of the corpus
 * @param {string} id
 * @returns {Promise<Doc|null>}
 */
export async function documentText(index, suite, id) {
  const known = Object.hasOwn(index.docs, suite) ? index.docs[suite] : {};
  if (!Object.hasOwn(known, id)) return null;
  return (await chunk(`docs-${known[id]}`))[id] ?? null;
}

/**
 * @param {number} trial row of index.trials
 * @returns {Promise<TrialDetail>}
 */
export function trialDetail(trial) {
  return chunk(`trial-${trial}`);
}
