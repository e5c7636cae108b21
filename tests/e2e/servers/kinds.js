// SPDX-License-Identifier: MIT
// Answers as kinds.py's.
const crypto = require('crypto')
const fs = require('fs')
const asked = process.env.ASKED ? fs.openSync(process.env.ASKED, 'a') : null
const at = process.argv[2]
const long = Buffer.alloc(1 << 20, '0123456789abcdef')

require('http').createServer((req, res) => {
	if (req.url === '/early') {
		res.writeHead(413, { 'Content-Length': 0 }).end()
		return
	}
	let size = 0
	const hash = crypto.createHash('md5')
	req.on('data', d => { size += d.length; hash.update(d) })
	req.on('end', () => {
		const h = req.headers
		if (asked !== null && h['x-id'])
			fs.writeSync(asked, `${h['x-id']}\n`)
		res.setHeader('X-Asked', `${h['x-id'] ?? '-'} ${size} ${h.cookie ?? '-'} ${h.connection ?? '-'}`)
		setTimeout(answer, req.url === '/slow' ? 300 : +(/^\/wait\/(\d+)/.exec(req.url)?.[1] ?? 0))
	})
	function answer() {
		const said = `${req.method} ${size} ${hash.digest('hex')} ${req.headers['x-id']}\n`
		if (req.url === '/none') {
			res.writeHead(204).end()
		} else if (req.url === '/empty') {
			res.setHeader('Content-Length', 0).end()
		} else if (req.url === '/long') {
			res.setHeader('Content-Length', said.length + long.length)
			res.write(said)
			res.end(long)
		} else if (req.url === '/chunked') {
			res.write(said)
			res.end(long)
		} else {
			if (req.url === '/until-close')
				res.removeHeader('Transfer-Encoding')
			else
				res.setHeader('Content-Length', said.length)
			res.end(said)
		}
	}
}).listen(...at[0] === '/' ? [{ fd: 3 }] : [+at, '127.0.0.1', 400])
