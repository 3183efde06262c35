import { Lab } from '../../../lab/lab.ts'

/** A process that owns a lab and never removes it; run by a test which kills it. */
const lab = await Lab.create({ hosts: [] })
console.log(lab.name)
setInterval(() => {}, 60_000)
