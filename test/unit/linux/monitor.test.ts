import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newsFilter } from '../../../src/linux/monitor.ts'

const NEWS = [
  '[LINK]2: eth0: <BROADCAST,MULTICAST> mtu 1500 qdisc noqueue state DOWN group default',
  '[LINK]3: br-0123: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP',
  '[LINK]Deleted 4: ov-b1: <BROADCAST,MULTICAST> mtu 1450 qdisc noop state DOWN',
  '[LINK]4: ov-b1: <BROADCAST,MULTICAST> mtu 1450 qdisc noqueue state DOWN group default',
  '[ADDR]2: eth0    inet 192.0.2.1/24 scope global eth0',
  '[ADDR]2: eth0    inet6 fd00:18::96/64 scope global ',
  '[ADDR]Deleted 2: eth0    inet6 fd00:18::96/64 scope global deprecated dynamic mngtmpaddr ',
  '[ADDR]Deleted 4: ov-b1    inet 10.33.5.1/24 scope global ov-b1',
  '[ROUTE]default via 192.0.2.254 dev eth0 ',
  '[ROUTE]172.19.0.0/16 dev br-0123 proto kernel scope link src 172.19.0.1 ',
  '[ROUTE]Deleted blackhole 10.33.0.0/17 proto 79 metric 4294967293 ',
  '[ROUTE]Deleted 10.33.0.0/17 dev ov-tun proto 79 src 10.33.5.0 ',
  '[ROUTE]Deleted fd00:33::/48 dev ov-tun proto 79 src fd00:33:0:5:: metric 1024 pref medium',
  '[ROUTE]Deleted blackhole fd00:33::/48 dev lo proto 79 metric 4294967293 pref medium',
  '[ROUTE]Deleted fd00:33:0:5::/64 dev ov-b1 proto kernel metric 256 pref medium',
  '[ADDR]Deleted 4: ov-b1    inet6 fd00:33:0:5::1/64 scope global ',
]

const NO_NEWS = [
  '[LINK]5: ov-h1@ov-c1: <BROADCAST,MULTICAST,UP,M-DOWN> mtu 1450 master ov-b1 state UNKNOWN',
  '[LINK]Deleted 5: ov-h1@NONE: <BROADCAST,MULTICAST> mtu 1450 state DOWN',
  '[LINK]6: veth01@if7: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master docker_gwbridge',
  '[LINK]4: ov-b1: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1450 state DOWN group default',
  '[ADDR]4: ov-b1    inet 10.33.5.1/24 scope global ov-b1',
  '[ADDR]6: veth01    inet6 fe80::1/64 scope link',
  '[ROUTE]local 192.0.2.1 dev eth0 table local proto kernel scope host src 192.0.2.1 ',
  '[ROUTE]10.33.0.0/17 dev ov-tun proto 79 src 10.33.5.0 ',
  '[ROUTE]unreachable 172.20.0.0/16 proto 79 scope link metric 4294967294 ',
  '[ROUTE]fe80::/64 dev eth0 proto kernel metric 256 pref medium',
  '[ROUTE]multicast ff00::/8 dev eth0 table local proto kernel metric 256 pref medium',
  '[ROUTE]fd00:33::/48 dev ov-tun proto 79 src fd00:33:0:5:: metric 1024 pref medium',
  '[ROUTE]Deleted fe80::/64 dev ov-b1 proto kernel metric 256 pref medium',
  '[ROUTE]Deleted fd00:18::/64 dev eth0 proto kernel metric 256 pref medium',
  '[ROUTE]Deleted local fd00:33:0:5::1 dev ov-b1 table local proto kernel metric 0 pref medium',
  'something else',
]

test('changes by others and losses of ours are news', () => {
  for (const line of NEWS) assert(newsFilter()(line), line)
})

test('what we do ourselves, cables and the local table are not', () => {
  for (const line of NO_NEWS) assert(!newsFilter()(line), line)
})

test('a bridge that says the same again is not news, a change of it is', () => {
  const isNews = newsFilter()
  const line =
    '[LINK]3: docker0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP group default '
  assert(isNews(line))
  assert(!isNews(`${line}event FEATURE CHANGE `))
  assert(!isNews(line))
  assert(isNews(line.replace('1500', '1400')))
})
