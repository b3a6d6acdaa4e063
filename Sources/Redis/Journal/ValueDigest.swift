/// The 64-bit XXH3 without a seed, as 16 hex digits, computed in Lua: the digest with which `DELEX key IFDEQ digest`
/// compares.
enum ValueDigest {
    /// Defines `what(value)`, which returns the value's digest. A 64-bit number is represented by two 32-bit numbers, the
    /// high one first. Source: the specification of xxHash, "XXH3 Algorithm Description".
    static let script: StaticString = """
        local floor,xor32,byte=math.floor,bit.bxor,string.byte
        local W=4294967296
        local secret=string.gsub('b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221'
        ..'b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8'
        ..'fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb17'
        ..'0ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e',
        '..',function(h) return string.char(tonumber(h,16)) end)
        local function rd(s,o)
        local a,b,c,d,e,f,g,h=byte(s,o+1,o+8)
        return ((h*256+g)*256+f)*256+e,((d*256+c)*256+b)*256+a
        end
        local function rd32(s,o) local a,b,c,d=byte(s,o+1,o+4) return ((d*256+c)*256+b)*256+a end
        local function add(ah,al,bh,bl)
        local l=al+bl
        if l>=W then return (ah+bh+1)%W,l-W end
        return (ah+bh)%W,l
        end
        local function xor(ah,al,bh,bl) return xor32(ah,bh)%W,xor32(al,bl)%W end
        local function mul32(a,b)
        local a1,b1=floor(a/65536),floor(b/65536)
        local a0,b0=a-a1*65536,b-b1*65536
        local p=a0*b0
        local m=a1*b0+a0*b1+floor(p/65536)
        return a1*b1+floor(m/65536),(m%65536)*65536+p%65536
        end
        local function mul(ah,al,bh,bl)
        local h,l=mul32(al,bl)
        local _,x=mul32(ah,bl)
        local _,y=mul32(al,bh)
        return (h+x+y)%W,l
        end
        local function fold(ah,al,bh,bl)
        local llh,lll=mul32(al,bl)
        local hlh,hll=mul32(ah,bl)
        local ch,cl=add(0,llh,0,hll)
        ch,cl=add(ch,cl,mul32(al,bh))
        local uh,ul=add(0,hlh,0,ch)
        uh,ul=add(uh,ul,mul32(ah,bh))
        return xor(cl,lll,uh,ul)
        end
        local function shr(h,l,n)
        if n>=32 then return 0,floor(h/2^(n-32)) end
        local q=2^n
        return floor(h/q),floor(l/q)+(h%q)*2^(32-n)
        end
        local function rotl(h,l,n)
        if n>=32 then h,l,n=l,h,n-32 end
        local q,r=2^n,2^(32-n)
        return (h%r)*q+floor(l/r),(l%r)*q+floor(h/r)
        end
        local function xorshift(h,l,n) return xor(h,l,shr(h,l,n)) end
        local function avalanche(h,l)
        h,l=mul(0x16566791,0x9E3779F9,xorshift(h,l,37))
        return xorshift(h,l,32)
        end
        local function avalanche64(h,l)
        h,l=mul(0xC2B2AE3D,0x27D4EB4F,xorshift(h,l,33))
        h,l=mul(0x165667B1,0x9E3779F9,xorshift(h,l,29))
        return xorshift(h,l,32)
        end
        local function key(h,l,o) return xor(h,l,rd(secret,o)) end
        local function swap(h,l)
        local function s(x) return (x%256)*16777216+(floor(x/256)%256)*65536+(floor(x/65536)%256)*256+floor(x/16777216) end
        return s(l),s(h)
        end
        local function mix(s,i,o)
        local ah,al=rd(s,i)
        local bh,bl=rd(s,i+8)
        ah,al=key(ah,al,o)
        bh,bl=key(bh,bl,o+8)
        return fold(ah,al,bh,bl)
        end
        local function short(s,n)
        if n==0 then
        local h,l=rd(secret,56)
        return avalanche64(key(h,l,64))
        elseif n<4 then
        local c=byte(s,1)*65536+byte(s,floor(n/2)+1)*16777216+byte(s,n)+n*256
        local k=xor32(rd32(secret,0),rd32(secret,4))%W
        return avalanche64(0,xor32(c,k)%W)
        elseif n<9 then
        local h,l=rd(secret,8)
        h,l=key(h,l,16)
        h,l=xor(h,l,rd32(s,0),rd32(s,n-4))
        local ah,al=rotl(h,l,49)
        local bh,bl=rotl(h,l,24)
        h,l=xor(h,l,xor(ah,al,bh,bl))
        h,l=mul(0x9FB21C65,0x1E98DF25,h,l)
        local th,tl=shr(h,l,35)
        h,l=xor(h,l,add(th,tl,0,n))
        h,l=mul(0x9FB21C65,0x1E98DF25,h,l)
        return xorshift(h,l,28)
        end
        local ah,al=rd(secret,24)
        ah,al=key(ah,al,32)
        local bh,bl=rd(secret,40)
        bh,bl=key(bh,bl,48)
        ah,al=xor(ah,al,rd(s,0))
        bh,bl=xor(bh,bl,rd(s,n-8))
        local h,l=add(0,n,swap(ah,al))
        h,l=add(h,l,bh,bl)
        return avalanche(add(h,l,fold(ah,al,bh,bl)))
        end
        local function medium(s,n)
        local h,l=mul(0x9E3779B1,0x85EBCA87,0,n)
        local function take(i,o) h,l=add(h,l,mix(s,i,o)) end
        if n<=128 then
        for i=floor((n-1)/32),0,-1 do
        take(16*i,32*i)
        take(n-16*(i+1),32*i+16)
        end
        return avalanche(h,l)
        end
        for i=0,7 do take(16*i,16*i) end
        h,l=avalanche(h,l)
        for i=8,floor(n/16)-1 do take(16*i,16*(i-8)+3) end
        take(n-16,119)
        return avalanche(h,l)
        end
        local function long(s,n)
        local H={[0]=0,0x9E3779B1,0xC2B2AE3D,0x165667B1,0x85EBCA77,0,0x27D4EB2F,0}
        local L={[0]=0xC2B2AE3D,0x85EBCA87,0x27D4EB4F,0x9E3779F9,0xC2B2AE63,0x85EBCA77,0x165667C5,0x9E3779B1}
        local KH,KL={},{}
        for o=0,184 do KH[o],KL[o]=rd(secret,o) end
        local function stripe(p,o)
        for i=0,7 do
        local dh,dl=rd(s,p+8*i)
        local j=i%2==0 and i+1 or i-1
        H[j],L[j]=add(H[j],L[j],dh,dl)
        local o=o+8*i
        H[i],L[i]=add(H[i],L[i],mul32(xor32(dh,KH[o])%W,xor32(dl,KL[o])%W))
        end
        end
        local blocks=floor((n-1)/1024)
        for b=0,blocks-1 do
        for i=0,15 do stripe(b*1024+i*64,8*i) end
        for i=0,7 do
        local h,l=xorshift(H[i],L[i],47)
        h,l=xor(h,l,KH[128+8*i],KL[128+8*i])
        H[i],L[i]=mul(0,0x9E3779B1,h,l)
        end
        end
        for i=0,floor((n-1-1024*blocks)/64)-1 do stripe(blocks*1024+i*64,8*i) end
        stripe(n-64,121)
        local h,l=mul(0x9E3779B1,0x85EBCA87,0,n)
        for i=0,3 do
        local ah,al=key(H[2*i],L[2*i],11+16*i)
        local bh,bl=key(H[2*i+1],L[2*i+1],19+16*i)
        h,l=add(h,l,fold(ah,al,bh,bl))
        end
        return avalanche(h,l)
        end
        local function what(s)
        local n=#s
        if n>4194304 then error('the value is too large for its digest to be computed by a script') end
        local h,l
        if n<=16 then h,l=short(s,n) elseif n<=240 then h,l=medium(s,n) else h,l=long(s,n) end
        return string.format('%04x%04x%04x%04x',floor(h/65536),h%65536,floor(l/65536),l%65536)
        end

        """
}
