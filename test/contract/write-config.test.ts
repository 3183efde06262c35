import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCidr } from '../../src/net/cidr.ts'
import { createKeyspace } from '../../src/store/keyspace.ts'
import { ensureConfig } from '../../src/store/write-config.ts'
import { freshPrefix, subjects } from './stores.ts'

const settings = { network: parseCidr('10.32.0.0/12'), subnetLength: 24, vxlanPort: 8472 }

for (const subject of subjects()) {
  test(`${subject.name}: hosts that start at once agree on one config`, async () => {
    const keyspace = createKeyspace(freshPrefix())
    const hosts = [22, 23, 24, 25].map((subnetLength) =>
      ensureConfig(subject.store, keyspace, { ...settings, subnetLength }),
    )
    const agreed = await Promise.all(hosts)
    assert.equal(new Set(agreed.map(({ config }) => config.subnetLength)).size, 1)
    assert.equal(agreed.filter(({ warnings }) => warnings.length === 0).length, 1)
  })

  test(`${subject.name}: the stored config wins, with a warning for each difference`, async () => {
    const keyspace = createKeyspace(freshPrefix())
    await ensureConfig(subject.store, keyspace, settings)
    const { config, warnings } = await ensureConfig(subject.store, keyspace, {
      network: parseCidr('10.5.0.0/16'),
      subnetLength: 26,
      vxlanPort: 4789,
    })
    assert.equal(config.subnetLength, 24)
    const key = keyspace.config()
    assert.deepEqual(warnings, [
      `NETWORK is 10.5.0.0/16 here but 10.32.0.0/12 in etcd key ${key}, which wins for every host`,
      `SUBNET_LEN is 26 here but 24 in etcd key ${key}, which wins for every host`,
      `VXLAN_PORT is 4789 here but 8472 in etcd key ${key}, which wins for every host`,
    ])
  })

  test(`${subject.name}: a broken config is left as it is and named`, async () => {
    const keyspace = createKeyspace(freshPrefix())
    const value = '{"Network":"10.5.0.0/16","SubnetLen":40}'
    await subject.store.commit([], [{ put: keyspace.config(), value }])
    const key = keyspace.config()
    await assert.rejects(ensureConfig(subject.store, keyspace, settings), {
      code: 'bad_input',
      message: `etcd key ${key}: /SubnetLen: Too big: expected number to be <=30`,
    })
    assert.equal((await subject.store.range(key)).entries.get(key)?.value, value)
  })

  test(`${subject.name}: settings that break a rule are never written`, async () => {
    const keyspace = createKeyspace(freshPrefix())
    const wrong = { ...settings, subnetLength: 13 }
    await assert.rejects(ensureConfig(subject.store, keyspace, wrong), { code: 'bad_input' })
    assert.equal((await subject.store.range(keyspace.root)).entries.size, 0)
  })
}
