import { enterOwnNetns, Netns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { applyHostState } from '../../../src/linux/apply.ts'
import { OWN_PATHS } from '../../../src/linux/host-paths.ts'
import { EMPTY_HOST_STATE } from '../../../src/linux/host-state.ts'
import { waitFor } from '../../support/wait.ts'
import { DUAL_NETWORK } from './example-host.ts'

let router: Netns

before(async () => {
  router = await Netns.create('router')
  await sh(`ip link add name eth0 type veth peer name eth0 netns ${router.name}`)
  await sh('ip link set eth0 addrgenmode none; ip link set eth0 up')
  await sh('ip address add fe80::96/64 dev eth0 nodad')
  await router.run('ip', 'link', 'set', 'eth0', 'addrgenmode', 'none', 'up')
  await router.run('ip', 'address', 'add', 'fe80::1/64', 'dev', 'eth0', 'nodad')
  // Beside it: a bridge that hears nobody, as Docker makes it, and a port of it.
  await sh('ip link add name docker0 type bridge; sysctl -qw net.ipv6.conf.docker0.accept_ra=0')
  await sh(`ip link add name veth1 master docker0 type veth peer name veth2 netns ${router.name}`)
})

after(async () => {
  await applyHostState(EMPTY_HOST_STATE)
  await router[Symbol.asyncDispose]()
})

/** Tells the host that there is a default router for so many seconds (RFC 4861 section 4.2). */
async function advertise(seconds: number): Promise<void> {
  const message = Buffer.alloc(16)
  message.set([134, 0, 0, 0, 64])
  message.writeUInt16BE(seconds, 6)
  const octal = Array.from(message, (byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')
  // Counts only with a hop limit of 255, which no router leaves whole.
  const to = 'IP6-SENDTO:[fe80::96%eth0]:58,ipv6-unicast-hops=255'
  await router.run('sh', '-c', `printf '${octal}' | socat -u - '${to}'`)
}

const defaultRoute = async (): Promise<string> =>
  (await sh('ip -6 route show default')).replace(/ expires \S+/, '').trim()

const HEARD = /^default via fe80::1 dev eth0 proto ra /

async function hears(seconds: number, expected: RegExp): Promise<string> {
  await advertise(seconds)
  await waitFor(async () => expected.test(await defaultRoute()), {
    what: `the default route to be ${expected}`,
    timeout: 30_000,
  })
  return defaultRoute()
}

const setting = async (name: string): Promise<string> =>
  (await sh(`cat /proc/sys/net/ipv6/conf/${name}`)).trim()

test('without care a host that becomes a router forgets the way that it learned', async () => {
  await hears(1800, HEARD)
  await sh('sysctl -qw net.ipv6.conf.all.forwarding=1')
  assert.equal(await defaultRoute(), '')
  await advertise(1800)
  assert.equal(await defaultRoute(), '')
  await sh('sysctl -qw net.ipv6.conf.all.forwarding=0')
})

test('a host that gets its first network with IPv6 keeps the default route that a router told it', async () => {
  const before = await hears(1800, HEARD)
  const steps = (await applyHostState(DUAL_NETWORK)).map(({ command }) => command)
  const told = steps.filter((step) => /accept_ra=2|all\/forwarding/.test(step))
  assert.deepEqual(told, [
    'sysctl -w net/ipv6/conf/eth0/accept_ra=2',
    'sysctl -w net/ipv6/conf/all/forwarding=1',
  ])
  assert.equal(await defaultRoute(), before)
  assert.equal(await setting('all/forwarding'), '1')
})

test('and goes on hearing routers, when they go and when they come', async () => {
  await hears(0, /^$/)
  await hears(900, HEARD)
})

test('nobody else is told to hear them', async () => {
  const links = ['docker0', 'veth1', 'default', 'ov-b1', 'ov-tun']
  const values = await Promise.all(links.map((link) => setting(`${link}/accept_ra`)))
  assert.deepEqual(values, ['0', '1', '1', '0', '0'])
})

test('a plugin that has the settings of its host elsewhere finds them there', async (t) => {
  const procSys = await mkdtemp(join(tmpdir(), 'ovt-sys-'))
  t.after(() => rm(procSys, { recursive: true }))
  const conf = join(procSys, 'net/ipv6/conf')
  const values = { 'eth0/accept_ra': '1', 'eth0/forwarding': '0', 'all/forwarding': '0' }
  for (const [name, value] of Object.entries(values)) {
    await mkdir(join(conf, name, '..'), { recursive: true })
    await writeFile(join(conf, name), `${value}\n`)
  }
  await applyHostState(DUAL_NETWORK, { paths: { ...OWN_PATHS, procSys } })
  const written = await Promise.all(
    Object.keys(values).map((name) => readFile(join(conf, name), 'utf8')),
  )
  assert.deepEqual(written, ['2\n', '0\n', '1\n'])
})

test('it stays so when the network goes', async () => {
  assert.deepEqual(await applyHostState(DUAL_NETWORK), [])
  await applyHostState(EMPTY_HOST_STATE)
  assert.match(await defaultRoute(), HEARD)
  await hears(0, /^$/)
  await hears(1800, HEARD)
})
