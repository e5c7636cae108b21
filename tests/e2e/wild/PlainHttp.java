// SPDX-License-Identifier: MIT

import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

/** The JDK's own HTTP server: java PlainHttp PORT. */
public class PlainHttp {
	public static void main(String[] args) throws Exception {
		byte[] body = ("pid=" + ProcessHandle.current().pid() + "\n")
			.getBytes();
		HttpServer server = HttpServer.create(
			new InetSocketAddress(Integer.parseInt(args[0])), 0);

		server.createContext("/", exchange -> {
			exchange.sendResponseHeaders(200, body.length);
			exchange.getResponseBody().write(body);
			exchange.close();
		});
		server.start();
	}
}
