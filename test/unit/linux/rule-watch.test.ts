import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isRuleNews } from '../../../src/linux/rule-watch.ts'

const NEWS = [
  'delete table inet overlay-ts',
  'delete rule inet overlay-ts forward handle 12',
  'delete rule ip filter DOCKER-USER handle 7',
  'delete rule ip filter FORWARD handle 9',
  'add chain inet fw forward { type filter hook forward priority filter; policy drop; }',
  'add chain inet fw way { type filter hook forward priority filter; policy drop; }',
  'add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited',
  'add rule inet fw way iifname "ov-*" accept',
  'delete chain ip filter DOCKER',
]

const NO_NEWS = [
  'add rule ip nat DOCKER iifname != "docker0" tcp dport 8080 counter packets 0 bytes 0',
  'add element inet fw blocked { 192.0.2.1 }',
  'delete rule ip nat POSTROUTING handle 31',
  '# new generation 45 by process 1234 (nft)',
]

test('what touches the way of forwarded packets is news', () => {
  for (const line of NEWS) assert(isRuleNews(line), line)
})

test('addresses that are translated, sets and counted generations are not', () => {
  for (const line of NO_NEWS) assert(!isRuleNews(line), line)
})
