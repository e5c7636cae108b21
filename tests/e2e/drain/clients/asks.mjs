// SPDX-License-Identifier: MIT
// As asks.py, by fetch (undici), whose connections belong to nobody: without cookies.
const [method, count, port, ...paths] = process.argv.slice(2)
const errors = {}
const times = { handed: [], others: [] }
const body = method === 'POST' ? 'x'.repeat(500) : undefined
const ready = new Set()
let over = false
let answered = 0
let strange = 0
let ended = 0

async function ask(path, id) {
	const r = await fetch(`http://127.0.0.1:${port}${path}`, { method, body, headers: { 'X-Id': id } })
	const got = await r.arrayBuffer()
	if (r.status !== 200)
		throw new Error(`status ${r.status}`)
	const asked = r.headers.get('x-asked').split(' ')
	if (asked[0] !== id || +asked[1] !== (body?.length ?? 0)) {
		strange++
		throw new Error('Strange')
	}
	if (got.byteLength > 1 << 20 !== /^\/(long|chunked)/.test(path))
		throw new Error(`${got.byteLength} bytes`)
	ended += r.headers.get('connection') === 'close'
	return asked[3].toLowerCase() === 'close'
}

async function client(number) {
	for (let n = 0; !over; n++) {
		const began = performance.now()
		try {
			const handed = await ask(paths[number % paths.length], `${number}-${n}`)
			times[handed ? 'handed' : 'others'].push(performance.now() - began)
			answered++
		} catch (e) {
			const what = e.cause?.code ?? e.message
			errors[what] = (errors[what] ?? 0) + 1
		}
		if (ready.size < count && ready.add(number).size == count)
			console.log('ready')
	}
}

function summary(list) {
	list.sort((a, b) => a - b)
	return [list.length, ...[.5, .99].filter(() => list.length)
		.map(part => +list[Math.floor(list.length * part)].toFixed(1))]
}

process.on('SIGTERM', () => { over = true })
await Promise.all(Array.from({ length: +count }, (_, n) => client(n)))
console.log(JSON.stringify({ answered, errors, strange, ended, handed: summary(times.handed),
	others: summary(times.others) }))
process.exit()
