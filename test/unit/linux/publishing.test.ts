import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HostState, PublishedPort } from '../../../src/linux/host-state.ts'
import { loadScript, renderIsolation } from '../../../src/linux/isolation.ts'
import { wayOutChains, wayOutRules } from '../../../src/linux/publishing.ts'
import { WEB } from './example-state.ts'

const PORTS: readonly PublishedPort[] = [
  { protocol: 'tcp', hostIp: null, hostPort: 8080, address: '10.33.5.2', port: 80 },
  { protocol: 'sctp', hostIp: null, hostPort: 3868, address: '10.33.5.3', port: 3868 },
  { protocol: 'tcp', hostIp: '172.18.10.96', hostPort: 8080, address: '10.33.5.3', port: 80 },
]

function withPorts(published: readonly PublishedPort[]): HostState {
  const [{ name: bridge } = { name: '' }] = WEB.bridges
  const way = { bridge, subnet: '10.33.5.0/24', uplinks: ['eth0', 'wan0'], tunnelPort: 8472 }
  return { ...WEB, waysOut: [{ ...way, published }] }
}

test('the table of a host with a way out', (t) => {
  const script = loadScript(renderIsolation(withPorts(PORTS)), null)
  const file = new URL('../../golden/linux/way-out.txt', import.meta.url).pathname
  t.assert.fileSnapshot(script, file, { serializers: [String] })
})

test('without a way out there is no rule and no chain of one', () => {
  assert.deepEqual([wayOutRules(WEB), wayOutChains(WEB)], [[], []])
})

test('a port at one address is asked before the same port at all of them', () => {
  const chain = wayOutChains(withPorts(PORTS)).find(({ name }) => name === 'published')
  assert.deepEqual(chain?.rules, [
    'ip daddr 172.18.10.96 tcp dport 8080 dnat ip to 10.33.5.3:80',
    'tcp dport 8080 dnat ip to 10.33.5.2:80',
    'sctp dport 3868 dnat ip to 10.33.5.3:3868',
  ])
})

test('an intact table gets other ports in place, and loses chains that nothing asks for any more', () => {
  const [open, fewer, shut] = [PORTS, PORTS.slice(1)]
    .map(withPorts)
    .concat(WEB)
    .map((want) => renderIsolation(want)) as [Rendered, Rendered, Rendered]
  assert.doesNotMatch(loadScript(fewer, open), /delete (table|chain)/)
  const gone = loadScript(shut, open).match(/^delete chain inet overlay-ts \w+$/gm)
  assert.deepEqual(
    gone?.map((line) => line.split(' ').at(-1)),
    ['guard', 'published', 'arriving', 'own', 'leaving'],
  )
  assert.doesNotMatch(loadScript(open, shut), /delete (table|chain)/)
})

type Rendered = ReturnType<typeof renderIsolation>
