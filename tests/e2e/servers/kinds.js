// SPDX-License-Identifier: MIT
// Answers as kinds.py's.
const crypto = require('crypto')
const long = Buffer.alloc(1 << 20, '0123456789abcdef')

require('http').createServer((req, res) => {
	if (req.url === '/early') {
		res.writeHead(413, { 'Content-Length': 0 }).end()
		return
	}
	let size = 0
	const hash = crypto.createHash('md5')
	req.on('data', d => { size += d.length; hash.update(d) })
	req.on('end', () => setTimeout(() => {
		const said = `${req.method} ${size} ${hash.digest('hex')} ${req.headers['x-id']}\n`
		if (req.url === '/none') {
			res.writeHead(204).end()
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
	}, req.url === '/slow' ? 300 : 0))
}).listen(+process.argv[2], '127.0.0.1')
