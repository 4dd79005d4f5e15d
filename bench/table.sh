#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# table.sh RESULTS... : medians (min-max) per label
awk '
function add(l,k,v){ key=l SUBSEP k; n[key]++; val[key,n[key]]=v }
function med(l,k,  key,i,j,t,a,m){ key=l SUBSEP k; m=n[key]; if(!m) return "-"
  for(i=1;i<=m;i++)a[i]=val[key,i]
  for(i=2;i<=m;i++){t=a[i];for(j=i-1;j>0&&a[j]>t;j--)a[j+1]=a[j];a[j+1]=t}
  t=(m%2)?a[(m+1)/2]:(a[m/2]+a[m/2+1])/2
  if(m>1&&a[1]!=a[m]) return fm(t) " (" fm(a[1]) "-" fm(a[m]) ")"; return fm(t) }
function fm(x){ return (x>=100||x==int(x))?sprintf("%.0f",x):(x>=10?sprintf("%.1f",x):sprintf("%.2f",x)) }
/^RESULT/{ l="";split("",kv); for(i=2;i<=NF;i++){e=index($i,"=");k=substr($i,1,e-1);v=substr($i,e+1);kv[k]=v} l=kv["label"]; if(!(l in seen)){seen[l]=1;order[++c]=l;mode[l]=kv["mode"]} runs[l]++
  for(k in kv) if(k!="label"&&k!="mode") add(l,k,kv[k]+0) }
function show(md,title,keys,  i,j,k,nk,h){ nk=split(keys,k," "); h=0
  for(i=1;i<=c;i++) if(mode[order[i]]==md){ if(!h){h=1; printf "\n### %s\n\n| label | runs |",title; for(j=1;j<=nk;j++)printf " %s |",k[j]; printf "\n|---|---|"; for(j=1;j<=nk;j++)printf "---|"; printf "\n"}
    printf "| %s | %d |",order[i],runs[order[i]]; for(j=1;j<=nk;j++)printf " %s |",med(order[i],k[j]); printf "\n" } }
END{
 show("idle","idle","n alive pss_b_per_conn slab_b_per_conn_both_ends sock_b_per_conn open_s cpu_us_per_conn hold_cpu_pct")
 show("latency","latency","n sent_rate lat_p50_us lat_p90_us lat_p99_us lat_p999_us lat_max_us ack_p50_us ack_p99_us srv_cpu_s_per_1m cli_cpu_s_per_1m lost dup reord puberr")
 show("throughput","throughput / stream","n size msg_s srv_cpu_s_per_1m srv_cpu_pct cli_cpu_s_per_1m polls_per_msg sub_bytes_in_per_msg lat_p50_us lat_p99_us lost dup reord puberr stalls")
 show("drain","drain","messages drain_s drain_msg_s srv_cpu_s_per_1m polls_per_msg bytes_in_per_msg bytes_out_per_msg publish_cpu_s_per_1m store_b_per_msg lost dup reord")
 show("fanout","fanout","n last_p50_us last_max_us srv_cpu_us_per_delivery cli_cpu_us_per_delivery missed dup")
 show("exec","floor (wrk, static answer)","req_s srv_cpu_s_per_1m srv_cpu_pct cli_cpu_s_per_1m")
}' "$@"
