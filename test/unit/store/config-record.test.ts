import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatCidr, parseCidr } from '../../../src/net/cidr.ts'
import { formatIpv4 } from '../../../src/net/ipv4.ts'
import { decodeConfig, encodeConfig } from '../../../src/store/config-record.ts'

/** The config as text, with the vxlan backend unless told. */
const json = (fields: object): string => JSON.stringify({ Backend: { Type: 'vxlan' }, ...fields })

function summary(text: string): string {
  const { network, subnetLength, subnetMin, subnetMax, vni, port } = decodeConfig(text)
  const range = `${formatIpv4(subnetMin)}–${formatIpv4(subnetMax)}`
  return `${formatCidr(network)} /${subnetLength} ${range} vni ${vni} port ${port}`
}

test("what is written is flannel's schema, and read back with its defaults", () => {
  const text = encodeConfig({
    network: parseCidr('10.32.0.0/12'),
    subnetLength: 24,
    port: 8472,
  })
  assert.equal(
    text,
    '{"Network":"10.32.0.0/12","SubnetLen":24,"Backend":{"Type":"vxlan","VNI":1,"Port":8472}}',
  )
  assert.equal(summary(text), '10.32.0.0/12 /24 10.32.1.0–10.47.255.0 vni 1 port 8472')
})

test('defaults are those of flannel', () => {
  const cases: [object, string][] = [
    [{ Network: '10.5.0.0/16' }, '10.5.0.0/16 /24 10.5.1.0–10.5.255.0 vni 1 port 8472'],
    [{ Network: '10.5.0.0/22' }, '10.5.0.0/22 /24 10.5.1.0–10.5.3.0 vni 1 port 8472'],
    [{ Network: '10.5.0.0/23' }, '10.5.0.0/23 /25 10.5.0.128–10.5.1.128 vni 1 port 8472'],
    [{ Network: '10.5.0.0/28' }, '10.5.0.0/28 /30 10.5.0.4–10.5.0.12 vni 1 port 8472'],
    [{ Network: '10.5.7.9/16' }, '10.5.0.0/16 /24 10.5.1.0–10.5.255.0 vni 1 port 8472'],
    [
      { Network: '10.0.0.0/8', SubnetLen: 20, SubnetMin: '10.10.0.0', SubnetMax: '10.99.0.0' },
      '10.0.0.0/8 /20 10.10.0.0–10.99.0.0 vni 1 port 8472',
    ],
    [
      { Network: '10.5.0.0/16', Backend: { Type: 'vxlan', VNI: 7, Port: 4789 } },
      '10.5.0.0/16 /24 10.5.1.0–10.5.255.0 vni 7 port 4789',
    ],
  ]
  for (const [fields, expected] of cases) assert.equal(summary(json(fields)), expected)
})

test('field names are matched without regard to case, as Go does', () => {
  const text = '{"network":"10.5.0.0/16","SUBNETLEN":25,"backend":{"type":"vxlan","vni":3}}'
  assert.equal(summary(text), '10.5.0.0/16 /25 10.5.0.128–10.5.255.128 vni 3 port 8472')
})

test('a wrong field is named with a pointer and a sentence', () => {
  const cases: [string, RegExp][] = [
    ['{', /^is not JSON: /],
    ['[]', /expected object/],
    [json({}), /^\/Network: /],
    [json({ Network: '10.5.0.0' }), /^\/Network: "10\.5\.0\.0" is not an address with a prefix/],
    [json({ Network: '10.5.0.0/29' }), /^\/Network: 10\.5\.0\.0\/29 is too small/],
    [json({ Network: '10.5.0.0/16', SubnetLen: 31 }), /^\/SubnetLen: /],
    [json({ Network: '10.5.0.0/16', SubnetLen: 17 }), /^\/SubnetLen: 17 is too short.*18 or more/],
    [json({ Network: '10.5.0.0/16', SubnetLen: '24' }), /^\/SubnetLen: /],
    [json({ Network: '10.5.0.0/16', SubnetMin: '10.6.0.0' }), /^\/SubnetMin: .*outside/],
    [json({ Network: '10.5.0.0/16', SubnetMin: '10.5.1.1' }), /^\/SubnetMin: .*does not begin/],
    [json({ Network: '10.5.0.0/16', SubnetMax: '10.5.9.128' }), /^\/SubnetMax: .*does not begin/],
    [
      json({ Network: '10.5.0.0/16', SubnetMin: '10.5.9.0', SubnetMax: '10.5.8.0' }),
      /^\/SubnetMin: is beyond SubnetMax/,
    ],
    [json({ Network: '10.5.0.0/16', EnableIPv4: false }), /^\/EnableIPv4: an IPv6-only/],
    ['{"Network":"10.5.0.0/16"}', /^\/Backend: is missing/],
    [json({ Network: '10.5.0.0/16', Backend: { Type: 'udp' } }), /^\/Backend\/Type: only/],
    [json({ Network: '10.5.0.0/16', Backend: { Type: 'vxlan', VNI: -1 } }), /^\/Backend\/VNI: /],
    [json({ Network: '10.5.0.0/16', Backend: { Type: 'vxlan', Port: 1e6 } }), /^\/Backend\/Port: /],
  ]
  for (const [text, message] of cases) {
    assert.throws(() => decodeConfig(text), { code: 'bad_input', message }, text)
  }
})
