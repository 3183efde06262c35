interface Pair {
  readonly one: number
  readonly other: number
  readonly values: readonly [boolean, boolean]
}

/**
 * Rows of on and off such that any two factors stand in each of their four combinations in some row.
 * Greedy: a row begins with a pair that is missing, and takes factor by factor what covers most others.
 * @returns rows of as many values as there are factors, always the same
 */
export function coveringPairs(factors: number): boolean[][] {
  let missing = allPairs(factors)
  const rows: boolean[][] = []
  while (missing.length > 0) {
    const row: (boolean | undefined)[] = Array.from({ length: factors })
    const [first] = missing
    row[first!.one] = first!.values[0]
    row[first!.other] = first!.values[1]
    for (let factor = 0; factor < factors; factor++) {
      if (row[factor] !== undefined) continue
      const touching = missing.filter(({ one, other }) => one === factor || other === factor)
      const gain = (value: boolean): number => {
        row[factor] = value
        return touching.filter((pair) => holds(pair, row)).length
      }
      const [on, off] = [gain(true), gain(false)]
      row[factor] = on === off ? (rows.length + factor) % 2 === 0 : on > off
    }
    missing = missing.filter((pair) => !holds(pair, row))
    rows.push(row as boolean[])
  }
  return rows
}

function allPairs(factors: number): Pair[] {
  const pairs: Pair[] = []
  for (let one = 0; one < factors; one++) {
    for (let other = one + 1; other < factors; other++) {
      for (const first of [true, false]) {
        for (const second of [true, false]) pairs.push({ one, other, values: [first, second] })
      }
    }
  }
  return pairs
}

function holds({ one, other, values }: Pair, row: readonly (boolean | undefined)[]): boolean {
  return row[one] === values[0] && row[other] === values[1]
}
