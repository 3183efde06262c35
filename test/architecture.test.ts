/**
 * The rules that hold the code together, each tried on the project, and on a planted breach that it must name.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import {
  loosePackages,
  undeclaredPackages,
  undocumentedPackages,
  unusedPackages,
  type Manifest,
} from './support/dependency-rules.ts'
import {
  barrels,
  defaultExports,
  longFiles,
  silencedChecks,
  testsThatDoNotRun,
  vagueNames,
} from './support/file-rules.ts'
import {
  environmentOutOfPlace,
  importCycles,
  importsAgainstTheOrder,
  importsOutOfPlace,
  LAYERS,
  unknownLayers,
} from './support/import-rules.ts'
import { readSourceFiles, ROOT, sourceFile, type SourceFile } from './support/source-file.ts'

const read = (path: string): string => readFileSync(resolve(ROOT, path), 'utf8')

const files = readSourceFiles()
const manifest = JSON.parse(read('package.json')) as Manifest

type Rule = (files: readonly SourceFile[]) => string[]

const tried = new Set<Rule>()

/** Tries the rule on the project, once, and on planted files: path and text. */
function rule(
  sentence: string,
  check: Rule,
  breach: Record<string, string>,
  complaint: string,
): void {
  if (!tried.has(check)) {
    tried.add(check)
    void test(sentence, () => {
      assert.deepEqual(check(files), [])
    })
  }
  void test(`${sentence}: a breach is named`, () => {
    const planted = Object.entries(breach).map(([path, text]) => sourceFile(path, text))
    assert.deepEqual(check(planted), [complaint])
  })
}

void test('the rules see the files of the project, and what they import', () => {
  const seen = new Map(files.map((file) => [file.path, file.imports]))
  for (const layer of LAYERS) {
    const folder = layer === 'plugin' ? 'plugin/' : `src/${layer}/`
    assert.ok(
      [...seen.keys()].some((path) => path.startsWith(folder)),
      folder,
    )
  }
  assert.deepEqual(seen.get('src/net/ipv4.ts'), ['node:net', 'src/errors.ts'])
})

rule(
  'every file of src/ lies in a layer',
  unknownLayers,
  { 'src/extra/thing.ts': '', 'src/net/thing.ts': '', 'src/log.ts': '' },
  `src/extra/thing.ts: lies in no layer; the layers are ${LAYERS.join(', ')}`,
)

rule(
  'a layer imports only itself and those before it',
  importsAgainstTheOrder,
  {
    'src/store/a.ts': "import type { B } from '../linux/b.ts'\nimport { C } from '../net/c.ts'\n",
    'plugin/d.ts': "import {\n  A,\n} from '../src/store/a.ts'\n",
  },
  'src/store/a.ts: store must not import linux (src/linux/b.ts)',
)

rule(
  'what all layers share imports none of them',
  importsAgainstTheOrder,
  { 'src/errors.ts': "import { A } from './net/a.ts'" },
  'src/errors.ts: what all layers share must not import net (src/net/a.ts)',
)

rule(
  'src/ never imports plugin/',
  importsAgainstTheOrder,
  { 'src/control/a.ts': "const b = await import('../../plugin/b.ts')" },
  'src/control/a.ts: control must not import plugin (plugin/b.ts)',
)

rule(
  'the product imports nothing of its tests, lab or benchmarks',
  importsAgainstTheOrder,
  { 'plugin/a.ts': "export { b } from '../lab/b.ts'" },
  'plugin/a.ts: the product must not import lab/b.ts',
)

rule(
  'no file imports itself by way of others',
  importCycles,
  {
    'src/net/a.ts': "import { b } from './b.ts'",
    'src/net/b.ts': "import { c } from './c.ts'",
    'src/net/c.ts': "import { a } from './a.ts'",
    'src/net/d.ts': "import { e } from './e.ts'",
    'src/net/e.ts': "import type { D } from './d.ts'",
  },
  'src/net/a.ts: imports itself by way of src/net/b.ts, src/net/c.ts, src/net/a.ts',
)

rule(
  'what has one place is imported only there',
  importsOutOfPlace,
  { 'src/store/etcd-watch.ts': "import 'etcd3'", 'plugin/a.ts': "import 'etcd3'" },
  'plugin/a.ts: must not import etcd3; the store is an interface, of which etcd is one kind',
)

for (const [name, breach, why] of [
  ['dockerode', 'src/control/a.ts', 'src/ has never heard of Docker'],
  ['express', 'src/control/a.ts', 'src/ has never heard of Docker or its protocol'],
  ['koffi', 'src/datapath/tun.ts', 'libc is declared in one place'],
  ['etcd3', 'src/control/a.ts', 'the store is an interface, of which etcd is one kind'],
  [
    'node:child_process',
    'plugin/a.ts',
    'programs are started where their failure is reported and their end awaited',
  ],
] as const) {
  rule(
    `${name} is imported only where it belongs`,
    importsOutOfPlace,
    { [breach]: `import { a } from '${name}'` },
    `${breach}: must not import ${name}; ${why}`,
  )
}

rule(
  'the environment is read only by the configuration',
  environmentOutOfPlace,
  { 'src/linux/a.ts': 'const a = process.env', 'plugin/main.ts': 'const a = process.env' },
  'src/linux/a.ts: must not read the environment; plugin/config.ts does',
)

rule(
  'no file is longer than a reader holds in mind',
  longFiles,
  { 'lab/a.ts': 'a\n'.repeat(401), 'lab/b.ts': 'b\n'.repeat(400) },
  'lab/a.ts: has 401 lines, at most 400 are wanted; split it',
)

rule(
  'nothing is exported without a name',
  defaultExports,
  { 'src/net/a.ts': 'const a = 1\nexport default a\n' },
  'src/net/a.ts: has a default export; a name is the same everywhere',
)

rule(
  'no file only gathers others',
  barrels,
  { 'src/net/all.ts': "export * from './a.ts'\n" },
  'src/net/all.ts: gathers the exports of other files; import the file that has the thing',
)

rule(
  'every file is named after what it holds',
  vagueNames,
  { 'src/net/string-utils.ts': '', 'plugin/methods.ts': '' },
  'src/net/string-utils.ts: the name says nothing; name it after what it exports',
)

rule(
  'the type checker and the linter are never silenced',
  silencedChecks,
  { 'lab/a.ts': ['// @ts', 'ignore'].join('-') },
  'lab/a.ts: has a comment that silences the type checker',
)

rule(
  'every test file is run by a stage',
  testsThatDoNotRun,
  { 'test/forgotten/a.test.ts': "import { test } from 'node:test'" },
  'test/forgotten/a.test.ts: no stage of test/support/stages.ts runs it',
)

rule(
  'every test file tests',
  testsThatDoNotRun,
  { 'test/unit/net/a.test.ts': 'console.log(1)' },
  'test/unit/net/a.test.ts: has no test of node:test',
)

rule(
  'no test is left out',
  testsThatDoNotRun,
  { 'test/unit/a.test.ts': ["import { test } from 'node:test'\ntest", 'skip()'].join('.') },
  `test/unit/a.test.ts: has a test that is left out (${['test', 'skip'].join('.')})`,
)

rule(
  'every package is used',
  (files) => unusedPackages(files, manifest),
  Object.fromEntries(
    Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })
      .filter((name) => name !== 'zod')
      .map((name, i) => [`lab/${i}.ts`, `import '${name}'`]),
  ),
  'package.json: nothing imports zod; remove it',
)

rule(
  'every package is declared, and what the product imports is installed with it',
  (files) => undeclaredPackages(files, manifest),
  { 'src/net/a.ts': "import fc from 'fast-check'", 'test/a.ts': "import fc from 'fast-check'" },
  'src/net/a.ts: imports fast-check, which package.json does not install with the product',
)

void test('docs/dependencies.md says of every package why it is needed, and of no other', () => {
  const document = read('docs/dependencies.md')
  assert.deepEqual(undocumentedPackages(document, manifest), [])
  assert.deepEqual(undocumentedPackages(document.replace('| `zod`', '| `joi`'), manifest), [
    'docs/dependencies.md: does not say why zod is needed',
    'docs/dependencies.md: describes joi, which package.json does not name',
  ])
})

void test('every package has one exact version', () => {
  assert.deepEqual(loosePackages(manifest), [])
  assert.deepEqual(loosePackages({ ...manifest, dependencies: { zod: '^4.0.0' } }), [
    'package.json: zod is "^4.0.0"; give one exact version',
  ])
})

void test('CONTRIBUTING.md describes the layers, in their order', () => {
  const described = [...read('CONTRIBUTING.md').matchAll(/^\| `(?:src\/)?(\w+)\/`/gm)]
  assert.deepEqual(
    described.map(([, layer]) => layer).filter((layer) => LAYERS.some((it) => it === layer)),
    [...LAYERS],
  )
})
