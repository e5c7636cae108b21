// SPDX-License-Identifier: MIT

import java.io.FileOutputStream;
import java.net.ServerSocket;
import java.net.Socket;

/**
 * One connection after the other, by a ServerSocket that blocks: java Accept PORT
 * MARKS MS.  It appends the number of each request that it has read to the file
 * MARKS, and is that long at it.  SIGTERM ends it 60 ms later, as with a program
 * that has something to close first; until then it goes on as before.
 */
public class Accept {
	public static void main(String[] args) throws Exception {
		FileOutputStream marks = new FileOutputStream(args[1], true);
		byte[] buffer = new byte[1024];
		byte[] answer = ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
			+ "Connection: close\r\n\r\nok").getBytes();

		Runtime.getRuntime().addShutdownHook(new Thread(() -> {
			try {
				Thread.sleep(60);
			} catch (InterruptedException e) {
				return;
			}
		}));
		try (ServerSocket server =
				new ServerSocket(Integer.parseInt(args[0]), 1000)) {
			for (;;) {
				try (Socket s = server.accept()) {
					int got = s.getInputStream().read(buffer);
					if (got <= 0)
						continue;
					String text = new String(buffer, 0, got);
					String number = text.replaceFirst(
						"(?s)^[^?]*\\?(\\d+).*", "$1\n");
					marks.write(number.getBytes());
					Thread.sleep(Integer.parseInt(args[2]));
					s.getOutputStream().write(answer);
				}
			}
		}
	}
}
