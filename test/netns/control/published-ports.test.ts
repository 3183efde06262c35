import { enterOwnNetns } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, beforeEach, afterEach, test } from 'node:test'
import { openJournal, type Journal } from '../../../src/control/journal.ts'
import { PublishedPorts, type PortWish } from '../../../src/control/published-ports.ts'
import { OverlayError } from '../../../src/errors.ts'
import { endpoint, network, recordingLog } from '../../unit/control/control-support.ts'

const stateDir = await mkdtemp(join(tmpdir(), 'ovt-ports-'))
const { log, said } = recordingLog()
let journal: Journal
let ports: PublishedPorts
const machine = { refuses: false, gone: new Set<string>() }

beforeEach(async () => {
  journal = await openJournal(stateDir, log)
  await journal.networks.put('out', network('out', '10.33.5.0/24', { egress: 'bridge' }))
  await journal.networks.put('web', network('web', '10.34.5.0/24'))
  await journal.endpoints.put('a', endpoint('a', 'out', '10.33.5.2/17'))
  await journal.endpoints.put('b', endpoint('b', 'out', '10.33.5.3/17'))
  await journal.endpoints.put('w', endpoint('w', 'web', '10.34.5.2/17'))
  Object.assign(machine, { refuses: false, gone: new Set() })
  said.length = 0
  ports = plugin()
})
afterEach(() => ports.stop())
after(() => rm(stateDir, { recursive: true }))

function plugin(): PublishedPorts {
  const run = async (): Promise<void> => {
    if (machine.refuses) throw new OverlayError('host_state', 'no rules today')
  }
  return new PublishedPorts({
    journal,
    endpoints: { isInUse: async ({ id }) => !machine.gone.has(id) },
    reconciler: { run, attempt: () => run().catch(() => undefined) },
    log,
  })
}

const tcp = (from: number, to = from, hostIp: string | null = null): PortWish => ({
  protocol: 'tcp',
  port: 80,
  hostIp,
  from,
  to,
})
const hostPorts = (id: string): number[] =>
  journal.endpoints.get(id)!.ports.map(({ hostPort }) => hostPort)

/** A program of the host that listens. @throws when somebody has the port */
async function listen(port: number, host = '0.0.0.0'): Promise<Server> {
  const server = createServer()
  server.listen({ port, host })
  await once(server, 'listening')
  return server
}

test('a published port is kept from every other program until it is revoked', async () => {
  await ports.program('a', [tcp(8080), { ...tcp(5353), protocol: 'udp' }])
  await assert.rejects(listen(8080), { code: 'EADDRINUSE' })
  await assert.rejects(listen(8080, '127.0.0.1'), { code: 'EADDRINUSE' })
  const socket = createSocket('udp4')
  socket.bind(5353)
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  assert.equal(error.code, 'EADDRINUSE')
  socket.close()
  await ports.revoke('a')
  assert.deepEqual(hostPorts('a'), [])
  await using _ = await listen(8080)
})

test('a port that a program has is refused by its name, and nothing of the request is kept', async () => {
  await using _ = await listen(8080, '127.0.0.1')
  await assert.rejects(ports.program('a', [tcp(8079), tcp(8080)]), {
    code: 'conflict',
    message: /^the port 8080\/tcp of this host is in use already/,
  })
  assert.deepEqual(hostPorts('a'), [])
  await using free = await listen(8079)
  assert.equal((free.address() as AddressInfo).port, 8079)
})

test('a port that another container has is refused with its address; one that is gone makes room', async () => {
  await ports.program('a', [tcp(8080)])
  await assert.rejects(ports.program('b', [tcp(8080, 8080, '127.0.0.1')]), {
    code: 'conflict',
    message:
      /^the port 127\.0\.0\.1:8080\/tcp of this host is published already, by the container at 10\.33\.5\.2;/,
  })
  machine.gone.add('a')
  await ports.program('b', [tcp(8080)])
  assert.deepEqual([hostPorts('a'), hostPorts('b')], [[], [8080]])
})

test('a free port is one of the ephemeral range, and of a range the first that is free', async () => {
  const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
  const [low = 0, high = 0] = range.trim().split(/\s+/).map(Number)
  await ports.program('a', [
    tcp(0),
    { ...tcp(0), protocol: 'udp' },
    { ...tcp(0), protocol: 'sctp' },
  ])
  const chosen = hostPorts('a')
  assert.equal(chosen.length, 3)
  for (const port of chosen) assert(port >= low && port <= high, String(port))
  await using _ = await listen(8000)
  await ports.program('b', [tcp(8000, 8002), tcp(8000, 8002)])
  assert.deepEqual(hostPorts('b'), [8001, 8002])
  await assert.rejects(ports.program('a', [tcp(8000, 8002)]), {
    code: 'conflict',
    message: /^the ports 8000 to 8002\/tcp of this host are all in use/,
  })
  assert.deepEqual(hostPorts('a'), chosen, 'what was published stays')
})

test('the same request again gives the same ports, another one replaces them', async () => {
  await ports.program('a', [tcp(0), tcp(8080)])
  const first = hostPorts('a')
  await ports.program('a', [tcp(0), tcp(8080)])
  assert.deepEqual(hostPorts('a'), first)
  await ports.program('a', [tcp(8081)])
  assert.deepEqual(hostPorts('a'), [8081])
  await using _ = await listen(8080)
})

test("an address that the host does not have is refused; Docker's own networks are left alone", async () => {
  await assert.rejects(ports.program('a', [tcp(8080, 8080, '192.0.2.1')]), {
    code: 'bad_input',
    message: /-p 192\.0\.2\.1:… asks for an address that this host does not have/,
  })
  await ports.program('w', [tcp(8080)])
  assert.deepEqual(hostPorts('w'), [])
  await assert.rejects(ports.program('nobody', [tcp(8080)]), { code: 'not_found' })
})

test('a port whose rules the kernel refuses is given back', async () => {
  machine.refuses = true
  await assert.rejects(ports.program('a', [tcp(8080)]), { code: 'host_state' })
  assert.deepEqual(hostPorts('a'), [])
  await using _ = await listen(8080)
})

test('a plugin that starts again takes the ports of its journal; a lost one is said once', async () => {
  await ports.program('a', [tcp(8080), tcp(8081)])
  ports.stop()
  await using _ = await listen(8081)
  ports = plugin()
  await ports.follow()
  await ports.follow()
  await assert.rejects(listen(8080), { code: 'EADDRINUSE' })
  assert.equal(said.filter((line) => /taken by another program meanwhile/.test(line)).length, 1)
  assert.deepEqual(hostPorts('a'), [8080, 8081])
  await journal.endpoints.delete('a')
  await ports.follow()
  await using __ = await listen(8080)
})
