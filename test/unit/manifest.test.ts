import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { test } from 'node:test'
import { manifest, manifestText } from '../../package/manifest.ts'
import { settingRows } from '../../package/setting-rows.ts'
import { loadConfig } from '../../plugin/config.ts'
import { SETTINGS } from '../../plugin/settings.ts'
import { readDocument, tableUnder } from '../support/markdown.ts'
import { readSourceFiles, ROOT } from '../support/source-file.ts'

const { env, mounts, interface: socket, entrypoint, propagatedMount } = manifest()

const readDockerfile = (): string => readFileSync(resolve(ROOT, 'Dockerfile'), 'utf8')

/** Whether the path lies in a folder of the host, or such folders lie in it. */
function isMounted(path: string): boolean {
  return mounts.some(
    ({ destination }) => path.startsWith(`${destination}/`) || destination.startsWith(`${path}/`),
  )
}

test('config.json is what `npm run plugin:manifest` writes', () => {
  const isCurrent = readFileSync(resolve(ROOT, 'config.json'), 'utf8') === manifestText()
  assert.ok(isCurrent, 'config.json is out of date; run: npm run plugin:manifest')
})

test('docs/plugin.md has the settings that `npm run plugin:manifest` writes', () => {
  assert.deepEqual(tableUnder(readDocument('docs/plugin.md'), '## Settings'), settingRows())
})

test('every variable of the program can be set, with its own words', () => {
  const own = env.filter(({ name }) => !name.startsWith('NODE_'))
  assert.deepEqual(
    own.map(({ name, description, settable }) => ({ name, description, settable })),
    Object.entries(SETTINGS).map(([name, { meaning }]) => {
      return { name, description: meaning, settable: ['value'] }
    }),
  )
})

test('the defaults are those of the program, but for paths that lie elsewhere inside', () => {
  const fallbacks = new Map(
    Object.entries(SETTINGS).map(([name, { fallback }]) => [name, fallback]),
  )
  const others = env.filter(({ name, value }) => (fallbacks.get(name) ?? value) !== value)
  assert.deepEqual(
    others.map(({ name }) => name),
    ['HOST_SOCKET', 'HOST_DIR', 'DOCKER_HOST'],
  )
  for (const { value } of others) assert.ok(isMounted(value.replace('unix://', '')), value)
})

test('the program takes the defaults as they are', () => {
  const config = loadConfig(Object.fromEntries(env.map(({ name, value }) => [name, value])))
  assert.equal(config.dockerHost, 'unix:///host/run/docker.sock')
})

test('Docker finds the plugin at the socket that the program opens', () => {
  assert.equal(SETTINGS.SOCKET.fallback, `/run/docker/plugins/${socket.socket}`)
  assert.equal(basename(SETTINGS.SOCKET.fallback), 'overlay-ts.sock')
})

test('the state of the managed plugin lies where it survives an upgrade', () => {
  assert.equal(propagatedMount, SETTINGS.STATE_DIR.fallback)
})

test('a mount that lies inside another comes after it', () => {
  for (const [at, { destination }] of mounts.entries()) {
    const later = mounts.slice(at).find((mount) => destination.startsWith(`${mount.destination}/`))
    assert.equal(later, undefined)
  }
})

test('the image has every program that the product starts', () => {
  const wanted = /for program in ([a-z ]+);/.exec(readDockerfile())![1]!.split(' ')
  const started = readSourceFiles()
    .filter(({ path }) => path.startsWith('src/'))
    .flatMap(({ text }) => [...text.matchAll(/(?<![.\w])(?:run|startProgram|spawn)\('([\w-]+)'/g)])
    .map(([, program]) => program!)
  assert.ok(started.length > 5)
  assert.deepEqual(new Set(started).difference(new Set(wanted)), new Set())
})

test('the image starts the program that the manifest starts', () => {
  const started = /^ENTRYPOINT (\[.*\])$/m.exec(readDockerfile())?.[1] ?? '[]'
  assert.deepEqual(JSON.parse(started), entrypoint)
})
