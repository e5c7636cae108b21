// SPDX-License-Identifier: MIT

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.ServerSocket;
import java.net.Socket;

/** One request at a time with a ServerSocket: java PlainSocket PORT. */
public class PlainSocket {
	public static void main(String[] args) throws Exception {
		long pid = ProcessHandle.current().pid();

		try (ServerSocket server =
				new ServerSocket(Integer.parseInt(args[0]))) {
			for (;;) {
				try (Socket client = server.accept()) {
					answer(client, pid);
				}
			}
		}
	}

	static void answer(Socket client, long pid) throws Exception {
		BufferedReader request = new BufferedReader(
			new InputStreamReader(client.getInputStream()));
		String line;

		do {
			line = request.readLine();
		} while (line != null && !line.isEmpty());
		client.getOutputStream().write(
			("HTTP/1.0 200 OK\r\n\r\npid=" + pid + "\n").getBytes());
	}
}
