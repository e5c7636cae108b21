import sys,re,collections,statistics as st
# record: last field pid
c=collections.Counter(l.split()[-1] for l in open(sys.argv[1]))
v=list(c.values()); m=st.mean(v)
print(len(v),"pids",sum(v),"CV %.4f"%(st.pstdev(v)/m), sorted(v))
