import assert from 'node:assert/strict'
import { test } from 'node:test'
import { barChart, type Chart } from '../../../bench/bar-chart.ts'

const bar = (median: number, least = median, most = median) => ({ median, least, most })

const CHART: Chart = {
  title: 'Bulk <TCP> & more',
  series: ['passed through', 'software segmentation'],
  panels: [
    {
      title: 'TCP, 1 stream (Gbit/s)',
      groups: [
        { name: 'ours', emphasis: true, bars: [bar(5, 4, 6), bar(2.5)] },
        { name: 'kernel', emphasis: false, bars: [bar(10), null] },
      ],
    },
    { title: 'nothing measured', groups: [] },
  ],
}

const numbers = (svg: string, form: RegExp): number[] =>
  [...svg.matchAll(form)].map(([, number]) => Number(number))

test('a bar is as long as its value, on the scale of its panel', () => {
  const svg = barChart(CHART)
  const widths = numbers(svg, /<rect x="150\.0" [^>]*width="([\d.]+)"/g)
  const [five, half, ten] = widths
  assert.equal(widths.length, 3)
  assert.equal(five! * 2, ten)
  assert.equal(half! * 4, ten)
  assert.ok(150 + ten! < 760)
})

test('a line shows from the least to the most of what was measured; none when they are the same', () => {
  const svg = barChart(CHART)
  assert.deepEqual(
    numbers(svg, /<line x1="([\d.]+)"/g).map((x) => x - 150),
    numbers(svg, /<rect x="150\.0" [^>]*width="([\d.]+)"/g)
      .slice(0, 1)
      .map((width) => (width * 4) / 5),
  )
})

test('the document is whole: a white ground, words escaped, everything inside', () => {
  const svg = barChart(CHART)
  const height = Number(/^<svg [^>]*height="(\d+)"/.exec(svg)![1])
  assert.match(svg, /<rect width="760" height="\d+" fill="#ffffff"\/>/)
  assert.match(svg, /Bulk &lt;TCP&gt; &amp; more/)
  assert.doesNotMatch(svg, /NaN|Infinity|undefined/)
  assert.ok(numbers(svg, / y="([\d.]+)"/g).every((y) => y < height))
  const tags = [...svg.matchAll(/<(\/?)(\w+)[^>]*?(\/?)>/g)]
  const open = tags.filter(([, close, , self]) => close === '' && self === '').length
  assert.equal(open, tags.filter(([, close]) => close === '/').length)
})

test('a value without end does not spoil the scale', () => {
  const groups = [{ name: 'a', emphasis: true, bars: [bar(Infinity), bar(3)] }]
  const svg = barChart({ ...CHART, panels: [{ title: 'p99', groups }] })
  assert.doesNotMatch(svg, /NaN|Infinity/)
  assert.match(svg, />∞</)
})

test('a bar beyond the limit is cut off there, and says so', () => {
  const groups = [{ name: 'a', emphasis: true, bars: [bar(2), bar(90)] }]
  const svg = barChart({ ...CHART, panels: [{ title: 'p99', groups, limit: 4 }] })
  const [short, cut] = numbers(svg, /<rect x="150\.0" [^>]*width="([\d.]+)"/g)
  assert.equal(short! * 2, cut)
  assert.match(svg, />… 90\.0</)
  assert.doesNotMatch(svg, />… 2\.00</)
})
