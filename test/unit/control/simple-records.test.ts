import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ownEndpointKeys,
  recordChanges,
  wantedRecords,
} from '../../../src/control/simple-records.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import type { Entry } from '../../../src/store/store.ts'
import { keyspace } from '../store/view-support.ts'
import { FACTS } from './fake-facts.ts'
import { held, heldHalf, ME, member } from './control-support.ts'

const web = member('web', held('10.33.5.0/24'), ['10.33.5.2/17'])
const identity = {
  hostId: ME,
  vtepMac: '02:11:22:33:44:55',
  instance: 'now',
  earlier: new Set<string>(),
  confirm: async () => {},
}
const input = {
  keys: keyspace,
  identity,
  facts: { ...FACTS, privatePrefixes: [parseCidr('172.17.0.0/16')] },
  members: [web],
  hostname: 'anna',
  version: '1.2.3',
  hostLease: '5',
  recordLease: '6',
}

function entry(key: string, value: string, lease: string | null): [string, Entry] {
  const full = `${keyspace.root}${key}`
  return [full, { key: full, value, lease, createRevision: '3', modRevision: '9' }]
}

test('a host says who it is under a short lease, and of its bridges and containers under a long one', () => {
  assert.deepEqual(
    wantedRecords(input).map(({ key, value, lease }) => [
      key.replace(keyspace.root, ''),
      value,
      lease,
    ]),
    [
      [
        `hosts/${ME}`,
        '{"Hostname":"anna","Instance":"now","PublicIP":"172.18.10.96","Version":"1.2.3","MTU":1450}',
        '5',
      ],
      [`private/${ME}`, '{"Prefixes":["172.17.0.0/16"]}', '6'],
      [
        'endpoints/10.33.5.0-24/10.33.5.2',
        '{"EndpointID":"web-e0","MAC":"02:42:0a:21:05:02","Name":null}',
        '6',
      ],
    ],
  )
})

test('only what differs in value or hangs on another lease is written, guarded by what was read', () => {
  const wanted = wantedRecords(input)
  const [host, bridges, endpoint] = wanted
  const entries = new Map([
    entry(`hosts/${ME}`, host!.value, '4'),
    entry(`private/${ME}`, bridges!.value, '6'),
  ])
  assert.deepEqual(
    recordChanges(entries, wanted, () => false),
    [
      {
        compare: { key: host!.key, is: 'modRevision', revision: '9' },
        operation: { put: host!.key, value: host!.value, lease: '5' },
      },
      {
        compare: { key: endpoint!.key, is: 'absent' },
        operation: { put: endpoint!.key, value: endpoint!.value, lease: '6' },
      },
    ],
  )
})

test("endpoints that are gone are removed from this host's own subnets and from no other", () => {
  const gone = entry('endpoints/10.33.5.0-24/10.33.5.9', 'even garbage', null)
  const foreign = entry('endpoints/10.33.6.0-24/10.33.6.9', '{}', null)
  const similar = entry('endpoints/10.33.5.0-25/10.33.5.9', '{}', null)
  const entries = new Map([gone, foreign, similar, entry('subnets/10.33.5.0-24', '{}', null)])
  assert.deepEqual(recordChanges(entries, [], ownEndpointKeys([web], keyspace)), [
    { compare: { key: gone[0], is: 'modRevision', revision: '9' }, operation: { delete: gone[0] } },
  ])
})

test('an attachment of both families is one record, with its IPv6 address in it', () => {
  const both = member('web', held('10.33.5.0/24', { ipv6: heldHalf('fd00:40:0:5::/64') }))
  const [one] = member('web', both.held, ['10.33.5.2/17']).endpoints
  const endpoints = [{ ...one!, address6: 'fd00:40:0:5::2/64' }]
  const records = wantedRecords({ ...input, members: [{ ...both, endpoints }] })
  const record = records.find(({ key }) => key.includes('/endpoints/'))!
  assert.equal(record.key, `${keyspace.root}endpoints/10.33.5.0-24/10.33.5.2`)
  assert.equal(
    record.value,
    '{"EndpointID":"web-e0","MAC":"02:42:0a:21:05:02","Name":null,"IPv6":"fd00:40:0:5::2"}',
  )
})
