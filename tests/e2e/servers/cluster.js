// A worker of Node's cluster, and nothing else: its primary branch ends it.
const cluster = require('cluster');
const http = require('http');

if (cluster.isPrimary) {
	console.log('primary branch');
	process.exit(3);
}
http.createServer((request, response) => {
	response.setHeader('Connection', 'close');
	response.end(`${process.pid} ${cluster.worker.id}\n`);
}).listen(process.argv[2]);
