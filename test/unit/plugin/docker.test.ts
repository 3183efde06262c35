import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { pino } from 'pino'
import { isDriver, parseDockerEvent, type DockerEvent } from '../../../plugin/docker-event.ts'
import { createDockerWatch } from '../../../plugin/docker.ts'
import type { Log } from '../../../src/log.ts'
import { FakeDocker } from '../../support/fake-docker.ts'
import { recordingLog } from '../control/control-support.ts'

/** What ends a hang; how soon something happens is not judged. */
const PATIENCE = { timeout: 30_000 }

async function dockerOf(t: TestContext): Promise<{ docker: FakeDocker; dockerHost: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'ovt-docker-'))
  const docker = new FakeDocker(join(folder, 'docker.sock'))
  t.after(async () => {
    await docker.stop()
    await rm(folder, { recursive: true })
  })
  return { docker, dockerHost: `unix://${join(folder, 'docker.sock')}` }
}

function watch(t: TestContext, dockerHost: string, log: Log = pino({ level: 'silent' })) {
  const events: DockerEvent[] = []
  const watching = createDockerWatch({
    dockerHost,
    log,
    onEvent: (event) => events.push(event),
  })
  t.after(() => watching.stop())
  const kinds = (): string[] => events.map((event) => event.kind)
  return { watching, events, kinds }
}

test('what happens to networks of ours and to containers is told in order', async (t) => {
  const { docker, dockerHost } = await dockerOf(t)
  await docker.start()
  const { events, kinds } = watch(t, dockerHost)
  await t.waitFor(() => assert.deepEqual(kinds(), ['connected']), PATIENCE)
  docker.create('n1', 'web')
  docker.create('n2', 'other', 'bridge')
  docker.send('network', 'connect', 'n1', { name: 'web', type: 'overlay-ts', container: 'c1' })
  docker.send('container', 'start', 'c1', { name: 'db', image: 'busybox' })
  docker.send('container', 'die', 'c1', { name: 'db', exitCode: '0' })
  docker.send('network', 'disconnect', 'n1', { name: 'web', type: 'overlay-ts', container: 'c1' })
  docker.send('network', 'destroy', 'n1', { name: 'web', type: 'overlay-ts' })
  await t.waitFor(() => assert.equal(events.length, 7), PATIENCE)
  assert.deepEqual(events.slice(1), [
    { kind: 'networkCreated', id: 'n1', name: 'web' },
    { kind: 'containerConnected', networkId: 'n1', containerId: 'c1' },
    { kind: 'containerStarted', containerId: 'c1', name: 'db' },
    { kind: 'containerDied', containerId: 'c1', name: 'db' },
    { kind: 'containerDisconnected', networkId: 'n1', containerId: 'c1' },
    { kind: 'networkDestroyed', id: 'n1', name: 'web' },
  ])
  assert.deepEqual(docker.filters, {
    type: ['network', 'container'],
    event: ['create', 'destroy', 'connect', 'disconnect', 'start', 'die'],
  })
})

test('networks that were there before are told after connecting', async (t) => {
  const { docker, dockerHost } = await dockerOf(t)
  docker.networks.set('n1', { Name: 'web', Driver: 'overlay-ts' })
  docker.networks.set('n2', { Name: 'bridge', Driver: 'bridge' })
  await docker.start()
  const { events } = watch(t, dockerHost)
  await t.waitFor(() => assert.equal(events.length, 2), PATIENCE)
  assert.deepEqual(events, [
    { kind: 'connected', networks: [{ id: 'n1', name: 'web' }] },
    { kind: 'networkCreated', id: 'n1', name: 'web' },
  ])
})

test('a network made while the list is read is told once', async (t) => {
  const { docker, dockerHost } = await dockerOf(t)
  docker.beforeList = () => docker.create('n1', 'web')
  await docker.start()
  const { watching, kinds } = watch(t, dockerHost)
  await t.waitFor(() => assert.deepEqual(kinds(), ['connected', 'networkCreated']), PATIENCE)
  docker.create('n2', 'app')
  await t.waitFor(
    () => assert.deepEqual(kinds(), ['connected', 'networkCreated', 'networkCreated']),
    PATIENCE,
  )
  assert.equal(await watching.networkName('n2'), 'app')
})

test('a name missed while Docker was away is told when it is back', async (t) => {
  const { docker, dockerHost } = await dockerOf(t)
  await docker.start()
  docker.networks.set('n1', { Name: 'web', Driver: 'overlay-ts' })
  const { watching, events, kinds } = watch(t, dockerHost)
  await t.waitFor(() => assert.equal(watching.connected, true), PATIENCE)
  await docker.stop()
  await t.waitFor(() => assert.equal(watching.connected, false), PATIENCE)
  docker.networks.set('n2', { Name: 'app', Driver: 'overlay-ts' })
  await docker.start()
  await t.waitFor(
    () => assert.equal(kinds().filter((kind) => kind === 'connected').length, 2),
    PATIENCE,
  )
  assert.deepEqual(kinds(), [
    'connected',
    'networkCreated',
    'disconnected',
    'connected',
    'networkCreated',
  ])
  assert.deepEqual(events.at(-1), { kind: 'networkCreated', id: 'n2', name: 'app' })
})

test('Docker may be absent at first, of which the loss is told once, and come later', async (t) => {
  const { docker, dockerHost } = await dockerOf(t)
  const { log, said } = recordingLog()
  const { watching, kinds } = watch(t, dockerHost, log)
  assert.equal(watching.connected, false)
  await t.waitFor(() => assert.equal(watching.reachable(), false), PATIENCE)
  assert.equal(await watching.networkName('n1'), null)
  await docker.start()
  await t.waitFor(() => assert.equal(watching.connected, true), PATIENCE)
  assert.equal(watching.reachable(), true)
  assert.deepEqual(kinds(), ['connected'])
  assert.equal(said.length, 1)
  assert.match(
    said[0] ?? '',
    /^warn: Docker's API does not answer; until it does, .*-o overlay=NAME.*firewall/,
  )
})

test('a Docker that boots is reachable though it does not answer', async (t) => {
  const { docker, dockerHost } = await dockerOf(t)
  docker.answering = false
  await docker.start()
  const { watching } = watch(t, dockerHost)
  assert.equal(watching.reachable(), true)
  assert.equal(watching.connected, false)
})

test('a name that no event told is asked for', async (t) => {
  const { docker, dockerHost } = await dockerOf(t)
  await docker.start()
  const { watching } = watch(t, dockerHost)
  await t.waitFor(() => assert.equal(watching.connected, true), PATIENCE)
  docker.networks.set('quiet', { Name: 'web', Driver: 'overlay-ts' })
  assert.equal(await watching.networkName('quiet'), 'web')
  assert.equal(await watching.networkName('nobody'), null)
})

test('lines that are no events and listeners that throw do no harm', async (t) => {
  const { docker, dockerHost } = await dockerOf(t)
  await docker.start()
  const told: string[] = []
  const watching = createDockerWatch({
    dockerHost,
    log: pino({ level: 'silent' }),
    onEvent: (event) => {
      told.push(event.kind)
      throw new Error('a defect')
    },
  })
  t.after(() => watching.stop())
  await t.waitFor(() => assert.equal(watching.connected, true), PATIENCE)
  docker.write('not json\n\n{"Type":"network"}\n{"Type":"plugin","Action":"enable"}\n')
  docker.create('n1', 'web')
  await t.waitFor(() => assert.deepEqual(told, ['connected', 'networkCreated']), PATIENCE)
  assert.equal(watching.connected, true)
})

test('stopping leaves no connection', async (t) => {
  const { docker, dockerHost } = await dockerOf(t)
  await docker.start()
  const { watching } = watch(t, dockerHost)
  await t.waitFor(() => assert.equal(docker.subscribers, 1), PATIENCE)
  await watching.stop()
  await t.waitFor(() => assert.equal(docker.subscribers, 0), PATIENCE)
  assert.equal(watching.connected, false)
})

test('a driver is ours by its name, whether found by socket or installed by reference', () => {
  for (const ours of [
    'overlay-ts',
    'overlay-ts:latest',
    'ghcr.io/org/overlay-ts:1.2',
    'overlay-ts:x',
  ]) {
    assert.equal(isDriver(ours, 'overlay-ts'), true, ours)
  }
  for (const other of ['bridge', 'overlay', 'overlay-ts2', 'my-overlay-ts', 'overlay-ts/x', '']) {
    assert.equal(isDriver(other, 'overlay-ts'), false, other)
  }
})

test('events of other kinds are passed over', () => {
  const line = (type: string, action: string): string =>
    JSON.stringify({ Type: type, Action: action, Actor: { ID: 'x', Attributes: {} } })
  assert.equal(
    parseDockerEvent(line('image', 'pull'), () => true),
    null,
  )
  assert.equal(
    parseDockerEvent(line('container', 'create'), () => true),
    null,
  )
  assert.equal(
    parseDockerEvent(line('network', 'update'), () => true),
    null,
  )
  assert.throws(() => parseDockerEvent('{}', () => true))
})
