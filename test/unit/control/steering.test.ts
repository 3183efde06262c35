import assert from 'node:assert/strict'
import { test } from 'node:test'
import { steeringPrefixes } from '../../../src/control/steering.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { bridges, clusterOf, holder, lease, ME, OTHER, texts, THIRD } from './control-support.ts'

const NONE = { addresses: [], onLink: [] }

test("other hosts' plain subnets, kept ones and private bridges are steered around, each once and in order", () => {
  const view = clusterOf({
    'subnets/172.21.0.0-16': lease({ kind: 'docker' }),
    'subnets/172.20.0.0-16': lease({ kind: 'docker', hostId: ME }),
    'subnets/10.47.128.0-24': lease(),
    'holders/172.22.0.0-16': holder(OTHER),
    'holders/172.20.0.0-16': holder(ME),
    'holders/10.47.129.0-24': holder(OTHER),
    [`private/${OTHER}`]: bridges('172.17.0.0/16', '172.19.0.0/16'),
    [`private/${THIRD}`]: bridges('172.17.0.0/16'),
    [`private/${ME}`]: bridges('172.23.0.0/16'),
  })
  assert.deepEqual(texts(steeringPrefixes(view, ME, NONE)), [
    '172.17.0.0/16',
    '172.19.0.0/16',
    '172.21.0.0/16',
    '172.22.0.0/16',
  ])
})

test('nothing that this host needs is hidden', () => {
  const view = clusterOf({
    [`private/${OTHER}`]: bridges('172.17.0.0/16', '172.18.0.0/16', '172.19.0.0/16'),
  })
  const hazards = {
    addresses: [{ ip: parseIpv4('172.18.10.98'), what: 'a tunnel end' }],
    onLink: [{ prefix: parseCidr('172.17.0.0/16'), dev: 'docker0' }],
  }
  assert.deepEqual(texts(steeringPrefixes(view, ME, hazards)), ['172.19.0.0/16'])
})
