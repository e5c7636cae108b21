// SPDX-License-Identifier: MIT

import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/** The JDK's HTTP server; some answers take 100 ms: java Slow PORT. */
public class Slow {
	public static void main(String[] args) throws Exception {
		byte[] body = ("pid=" + ProcessHandle.current().pid() + "\n")
			.getBytes();
		HttpServer server = HttpServer.create(
			new InetSocketAddress(Integer.parseInt(args[0])), 0);

		server.setExecutor(Executors.newFixedThreadPool(8));
		server.createContext("/", exchange -> {
			if (exchange.getRequestURI().getPath().equals("/slow")) {
				try {
					Thread.sleep(100);
				} catch (InterruptedException e) {
					return;
				}
			}
			exchange.sendResponseHeaders(200, body.length);
			exchange.getResponseBody().write(body);
			exchange.close();
		});
		server.start();
	}
}
