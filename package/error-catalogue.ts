import { globSync } from 'node:fs'
import { resolve } from 'node:path'
import { ERROR_CODES, type ErrorCode } from '../src/errors.ts'
import { errorSentences, type ErrorSentence } from './error-sentences.ts'

const ROOT = resolve(import.meta.dirname, '..')

const MEANINGS: Readonly<Record<ErrorCode, { cause: string; remedy: string }>> = {
  bad_input: {
    cause: 'A value that was given does not parse, or breaks a rule of its field.',
    remedy: 'Give the value in the form that the sentence shows.',
  },
  bad_request: {
    cause: 'dockerd and the plugin did not understand each other.',
    remedy: 'Run the command again; if it stays so, the versions of both belong into a report.',
  },
  unsupported: {
    cause: 'It was understood, and is refused on purpose.',
    remedy: 'Take the way that the sentence names.',
  },
  conflict: {
    cause: 'Somebody else has it: another network, host or program; or two settings disagree.',
    remedy: 'Choose another, or remove what holds it; the sentence names it.',
  },
  exhausted: {
    cause: 'Nothing free is left of what is shared out.',
    remedy: 'Make room as the sentence says, or remove networks that nobody uses.',
  },
  not_found: {
    cause: 'What the command names is not known on this host, mostly because its record was lost.',
    remedy: 'Make it again; see [state-directory.md](state-directory.md).',
  },
  store_unavailable: {
    cause: 'etcd does not answer, or refuses.',
    remedy:
      'See that etcd runs, that this host reaches it and that `ETCD_ENDPOINTS` is right. Networks and containers that are there go on meanwhile.',
  },
  host_state: {
    cause: 'The kernel or a program of this host refused, or this host lacks something.',
    remedy: 'The sentence ends with the words of who refused. The plugin tries again by itself.',
  },
  datapath: {
    cause: 'The forwarder cannot work.',
    remedy:
      'Free the port or the device that the sentence names; the plugin tries again by itself.',
  },
  cloned_host: {
    cause: 'Another machine runs with the identity of this one: one is a copy of the other.',
    remedy: 'Remove `host-id` from the state directory of the copy and start it again.',
  },
}

interface Place {
  readonly heading: string
  readonly files: RegExp
  /** Where a file has sentences of several commands: how those of this one begin. */
  readonly says?: RegExp
}

/** Where a user meets the sentences of which files; the first that fits counts. */
const PLACES: readonly Place[] = [
  {
    heading: 'When the plugin starts: its log, `--check`, `docker plugin enable`',
    files:
      /^plugin\/(config|setting-schemas|stale-socket|admin|service-manager|secret|own-etcd|store|main)\.ts|^src\/store\/(etcd-(process|program|flags)|keyspace|embedded-etcd)\.ts|^src\/linux\/underlay\.ts|^src\/datapath\//,
  },
  {
    heading: '`docker network create`',
    files: /^(plugin|src\/(control|ipam))\//,
    says: /^(--(gateway|subnet|ip-range|ipv6|ipam-opt)|-o|vni=)\b/,
  },
  {
    heading: '`docker network create`',
    files:
      /^plugin\/(network-driver|network-subnet|asked-addresses|ipam-driver|pool-wishes|options)\.ts|^src\/ipam\/(choose|first|free|subnet-length)|^src\/control\/(decide-subnet6?|free-prefix6|given-back|ipv6-halves|overlay-pool6|overlays|networks|refuse-other-lengths|subnets|subnet-names|taken|vni-of-overlay)\.ts|^src\/store\/(allocate|overlay-name|write-config)\.ts/,
  },
  {
    heading: '`docker run`, `start`, `network connect`',
    files: /^plugin\/port-wishes|^src\/ipam\/|^src\/control\/|^src\/linux\/(veth|publish|reserved)/,
  },
  { heading: 'Any command', files: /^/ },
]

/** What to do stands behind a semicolon, a colon or a dash, and begins with one of these words. */
const REMEDY =
  /(?:[;:,] | (?=such as))(?=(?:a (?:longer|shorter)|add|an overlay made|choose|compact|create|did you mean|docker|free|give|if that|install|iproute2|join|leave|let|make|move|name|put|publish|remove|run|see|set|start|stop|such as|take|try|use|write)\b|‹(?:choice|hint|remedy|wanted)›)/

/** A sentence, cut into what is the matter and what to do. */
export interface CatalogueEntry extends ErrorSentence {
  readonly place: string
  readonly cause: string
  /** null when the sentence does not say. */
  readonly remedy: string | null
}

/** Every sentence that a user of `docker` may read, by place and then by code. */
export function errorEntries(): CatalogueEntry[] {
  const files = globSync('{plugin,src}/**/*.ts', { cwd: ROOT }).sort()
  const entries = errorSentences(files)
    .filter(({ file }) => !/^src\/store\/(memory|json-value)\.ts$/.test(file))
    .map(entryOf)
  const unique = [
    ...new Map(entries.map((entry) => [`${entry.place} ${entry.text}`, entry])).values(),
  ]
  const rank = ({ place, codes }: CatalogueEntry): number =>
    PLACES.findIndex(({ heading }) => heading === place) * ERROR_CODES.length +
    ERROR_CODES.findIndex((code) => code === codes[0])
  return unique.sort((a, b) => rank(a) - rank(b))
}

function entryOf(sentence: ErrorSentence): CatalogueEntry {
  const { file, text } = sentence
  const fits = ({ files, says }: Place): boolean => files.test(file) && (says?.test(text) ?? true)
  const place = PLACES.find(fits)!.heading
  const cut = REMEDY.exec(sentence.text)
  if (cut === null) return { ...sentence, place, cause: sentence.text, remedy: null }
  const remedy = sentence.text.slice(cut.index + cut[0].length)
  return { ...sentence, place, cause: sentence.text.slice(0, cut.index), remedy }
}

/** docs/errors.md, before it is formatted. */
export function errorCatalogue(entries: readonly CatalogueEntry[]): string {
  const codes = ERROR_CODES.map((code) => {
    return `| \`${code}\` | ${MEANINGS[code].cause} | ${MEANINGS[code].remedy} |\n`
  })
  const headings = new Set(PLACES.map(({ heading }) => heading))
  const sections = [...headings].map((heading) => {
    const rows = entries
      .filter(({ place }) => place === heading)
      .map(({ cause, remedy, codes: [code] }) => {
        return `| ${cell(cause)} | ${remedy === null ? `see \`${code}\`` : cell(remedy)} | \`${code}\` |\n`
      })
    return `## ${heading}\n\n| what is said | what to do | code |\n| --- | --- | --- |\n${rows.join('')}`
  })
  return `# Errors

Docker shows the plugin's sentence behind its own words:

\`\`\`
Error response from daemon: NetworkDriver.CreateNetwork: -o mtu=9000 is not possible: …
\`\`\`

The sentence says what is the matter and what to do. They are here for a search: those that the plugin writes itself, one
that has several forms mostly in each of them. What differs from case to case stands in ‹angle quotes›, among it the words
of etcd, the kernel and other programs. The same sentence is in the plugin's log, with its code.

## Codes

| code | cause | remedy |
| --- | --- | --- |
${codes.join('')}
${sections.join('\n')}`
}

const cell = (text: string): string =>
  text.replaceAll('\n', ' ').replace(/[|*_<>`\\[\]]/g, (sign) => `\\${sign}`)
