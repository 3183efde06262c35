import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'
import { SETTINGS, type Setting } from '../../plugin/settings.ts'
import { ROOT } from '../support/source-file.ts'

/** The manifest of a managed plugin (moby api/types/plugin Config), as far as it is looked at here. */
const manifestSchema = z.looseObject({
  entrypoint: z.array(z.string()),
  interface: z.object({ types: z.array(z.string()), socket: z.string() }),
  network: z.object({ type: z.string() }),
  linux: z.looseObject({
    capabilities: z.array(z.string()),
    devices: z.array(z.looseObject({ path: z.string() })),
  }),
  mounts: z.array(z.looseObject({ source: z.string().min(1), destination: z.string() })),
  env: z.array(
    z.strictObject({
      name: z.string(),
      description: z.string(),
      settable: z.array(z.string()),
      value: z.string(),
    }),
  ),
  propagatedMount: z.string(),
})

const manifest = manifestSchema.parse(
  JSON.parse(readFileSync(resolve(ROOT, 'config.json'), 'utf8')),
)

test('the variables of the managed plugin are those of the program, with the same defaults and words', () => {
  const settings: [string, Setting<unknown>][] = Object.entries(SETTINGS)
  assert.deepEqual(
    manifest.env,
    settings.map(([name, { meaning, fallback }]) => ({
      name,
      description: meaning,
      settable: ['value'],
      value: fallback,
    })),
  )
})

test('Docker finds the plugin at the socket that the program opens', () => {
  assert.equal(basename(SETTINGS.SOCKET.fallback), manifest.interface.socket)
  assert.deepEqual(manifest.interface.types, ['docker.networkdriver/1.0', 'docker.ipamdriver/1.0'])
})

test('the state of the managed plugin lies where it survives an upgrade', () => {
  assert.equal(manifest.propagatedMount, SETTINGS.STATE_DIR.fallback)
})

test('the API of Docker is mounted where the program looks for it', () => {
  const path = SETTINGS.DOCKER_HOST.fallback.replace('unix://', '')
  assert.ok(manifest.mounts.some(({ destination }) => destination === path))
})

test("the managed plugin may shape the host's own network", () => {
  assert.equal(manifest.network.type, 'host')
  for (const capability of ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_ADMIN']) {
    assert.ok(manifest.linux.capabilities.includes(capability), capability)
  }
  assert.ok(manifest.linux.devices.some(({ path }) => path === '/dev/net/tun'))
})

test('the image starts the program that the manifest starts', () => {
  const dockerfile = readFileSync(resolve(ROOT, 'Dockerfile'), 'utf8')
  const started = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile)?.[1] ?? '[]'
  assert.deepEqual(JSON.parse(started), manifest.entrypoint)
})
