import assert from 'node:assert/strict'
import { test } from 'node:test'
import { etcdAddresses } from '../../../plugin/store.ts'
import { formatIp } from '../../../src/net/ipv6.ts'

test('an etcd endpoint given by number is kept from being hidden, in either family', () => {
  const endpoints = [
    'http://etcd.lan:2379',
    'https://172.18.10.95:2379',
    'http://[fd00:95::10]:2379',
  ]
  assert.deepEqual(etcdAddresses({ etcd: { endpoints, own: null } }).map(formatIp), [
    '172.18.10.95',
    'fd00:95::10',
  ])
})
