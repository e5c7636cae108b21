// SPDX-License-Identifier: MIT

import java.io.FileOutputStream;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;

/**
 * Counts in the shared memory of its cluster, as count.c does.
 *
 * <p>Java has no file of a descriptor's number: the memory is opened once more by
 * its name in /proc. A FileLock is the same record lock as fcntl(2) has.
 *
 * <pre>nclust -n 4 --shared-memory 64k -- java Count.java</pre>
 */
public class Count {
    static final int ATOMIC_AT = 0;
    static final int LOCKED_AT = 64;
    static final int TALLIES_AT = 128;
    static final int ATOMIC_ROUND = 100000;
    static final int LOCKED_ROUND = 100;
    static final VarHandle LONGS =
            MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.nativeOrder());

    public static void main(String[] args) throws Exception {
        String fd = System.getenv("NCLUST_SHM_FD");
        int tally = TALLIES_AT + 64 * Integer.parseInt(System.getenv("NCLUST_SLOT"));
        long size = Long.parseLong(System.getenv("NCLUST_SHM_SIZE"));
        OutputStream to = args.length > 0 ? new FileOutputStream(args[0], true) : System.out;

        try (RandomAccessFile file = new RandomAccessFile("/proc/self/fd/" + fd, "rw")) {
            FileChannel channel = file.getChannel();
            MappedByteBuffer memory = channel.map(FileChannel.MapMode.READ_WRITE, 0, size);
            byte[] line = "java\n".getBytes();

            while (true) {
                for (int i = 0; i < ATOMIC_ROUND; i++) {
                    long before = (long) LONGS.getAndAdd(memory, ATOMIC_AT, 1L);
                    LONGS.setVolatile(memory, tally, (long) LONGS.get(memory, tally) + 1);
                }
                for (int i = 0; i < LOCKED_ROUND; i++) {
                    try (FileLock lock = channel.lock(LOCKED_AT, 8, false)) {
                        long before = (long) LONGS.get(memory, LOCKED_AT);
                        LONGS.setVolatile(memory, LOCKED_AT, before + 1);
                        LONGS.setVolatile(memory, tally + 8, (long) LONGS.get(memory, tally + 8) + 1);
                    }
                }
                to.write(line);
                to.flush();
                Thread.sleep(10);
            }
        }
    }
}
